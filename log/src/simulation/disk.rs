//! Storage that forgets what was not synced, and fails when its plan says so.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    dice::Dice,
    image::FileImage,
    names::{Names, Node},
    plan::{Call, Outcome, Plan},
    storage::SimFolder,
};
use crate::{Passphrase, disk::Folder};

const ROOT: Node = 0;

/// A machine with one disk. Clones are the same one.
#[derive(Clone)]
pub(super) struct Disk {
    state: Arc<Mutex<State>>,
    visitor: Arc<Mutex<Option<Visitor>>>,
    /// What the ledger's key file is sealed under, and what else it may be after a change of it.
    pub(super) passphrases: Arc<Mutex<[Option<Passphrase>; 2]>>,
}

/// What goes on between two calls of the writer.
pub(super) type Visitor = Box<dyn FnMut() + Send>;

#[derive(Clone)]
pub(super) struct State {
    nodes: BTreeMap<Node, Item>,
    next: Node,
    /// Which open file holds the lock of a file.
    pub(super) locks: HashMap<Node, u64>,
    pub(super) opened: u64,
    pub(super) plan: Plan,
    /// Each content that a file of the name `checkpoint` has had, for whoever wants to see them all.
    pub(super) checkpoints: Vec<Vec<u8>>,
    /// Calls so far, and a digest of what they were and what became of them.
    pub(super) calls: u64,
    pub(super) digest: u64,
}

#[derive(Debug, Clone)]
pub(super) enum Item {
    File {
        image: FileImage,
        /// Permissions in memory, and on the medium.
        mode: u32,
        durable_mode: u32,
    },
    Folder(Names),
}

/// A process that uses the disk, until it ends.
#[derive(Clone)]
pub(super) struct Process {
    pub(super) disk: Disk,
    writer: bool,
    alive: Arc<AtomicBool>,
}

impl Disk {
    pub(super) fn new(dice: Dice, passphrase: Option<Passphrase>) -> Self {
        let state = State {
            nodes: BTreeMap::from([(ROOT, Item::Folder(Names::default()))]),
            next: ROOT + 1,
            locks: HashMap::new(),
            opened: 0,
            plan: Plan::new(dice),
            checkpoints: Vec::new(),
            calls: 0,
            digest: 0,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            visitor: Arc::default(),
            passphrases: Arc::new(Mutex::new([passphrase, None])),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Another machine whose disk holds the same.
    pub(super) fn copy(&self) -> Self {
        let mut state = self.state().clone();
        state.locks.clear();
        Self {
            state: Arc::new(Mutex::new(state)),
            visitor: Arc::default(),
            passphrases: Arc::new(Mutex::new(self.passphrases.lock().unwrap().clone())),
        }
    }

    /// Starts a process. The plan counts the calls of writers.
    pub(super) fn process(&self, writer: bool) -> Process {
        Process {
            disk: self.clone(),
            writer,
            alive: Arc::new(AtomicBool::new(true)),
        }
    }

    /// Lets somebody act between calls of the writer; None: nobody.
    pub(super) fn visit(&self, visitor: Option<Visitor>) {
        *self.visitor.lock().unwrap() = visitor;
    }
}

impl State {
    /// The power is cut: only what the medium holds stays. Processes have ended before.
    pub(super) fn cut(&mut self) {
        self.locks.clear();
        let Self { nodes, plan, .. } = self;
        for item in nodes.values_mut() {
            match item {
                Item::File {
                    image,
                    mode,
                    durable_mode,
                } => {
                    image.cut(plan.dice());
                    if plan.dice().one_in(2) {
                        *durable_mode = *mode;
                    }
                    *mode = *durable_mode;
                }
                Item::Folder(names) => names.cut(plan.dice()),
            }
        }
        self.forget_unnamed();
    }

    /// Memory runs short: see [`FileImage::evict`].
    pub(super) fn evict(&mut self) {
        let Self { nodes, plan, .. } = self;
        for item in nodes.values_mut() {
            if let Item::File { image, .. } = item {
                image.evict(plan.dice());
            }
        }
    }

    /// Paths of all files that hold something.
    pub(super) fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        self.walk(ROOT, "", &mut |path, node| {
            if matches!(&self.nodes[&node], Item::File { image, .. } if image.len() > 0) {
                files.push(path.to_owned());
            }
        });
        files
    }

    /// What a file holds, by its path.
    pub(super) fn content(&self, path: &str) -> Vec<u8> {
        match self.find(path).map(|node| &self.nodes[&node]) {
            Some(Item::File { image, .. }) => image.bytes().to_vec(),
            _ => Vec::new(),
        }
    }

    /// Changes the content of a file behind everybody's back.
    pub(super) fn damage(&mut self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.content(path);
        change(&mut bytes);
        if let Some(Item::File { image, .. }) = self.find(path).and_then(|node| self.nodes.get_mut(&node)) {
            *image = FileImage::durable(bytes);
        }
    }

    fn find(&self, path: &str) -> Option<Node> {
        let mut found = None;
        self.walk(ROOT, "", &mut |other, node| {
            if other == path {
                found = Some(node);
            }
        });
        found
    }

    fn walk(&self, folder: Node, path: &str, each: &mut dyn FnMut(&str, Node)) {
        for (name, &node) in self.names(folder).list() {
            let path = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}/{name}")
            };
            match &self.nodes[&node] {
                Item::Folder(_) => self.walk(node, &path, each),
                Item::File { .. } => each(&path, node),
            }
        }
    }

    fn forget_unnamed(&mut self) {
        let mut named = vec![ROOT];
        let mut at = 0;
        while let Some(&node) = named.get(at) {
            if let Some(Item::Folder(names)) = self.nodes.get(&node) {
                named.extend(names.list().map(|(_, node)| *node));
            }
            at += 1;
        }
        named.sort_unstable();
        self.nodes.retain(|node, _| named.binary_search(node).is_ok());
    }

    pub(super) fn names(&self, folder: Node) -> &Names {
        match &self.nodes[&folder] {
            Item::Folder(names) => names,
            Item::File { .. } => unreachable!("a folder's handle leads to a folder"),
        }
    }

    pub(super) fn names_mut(&mut self, folder: Node) -> &mut Names {
        match self.nodes.get_mut(&folder) {
            Some(Item::Folder(names)) => names,
            _ => unreachable!("a folder's handle leads to a folder"),
        }
    }

    pub(super) fn file(&mut self, node: Node) -> (&mut FileImage, &mut u32, &mut u32) {
        match self.nodes.get_mut(&node) {
            Some(Item::File {
                image,
                mode,
                durable_mode,
            }) => (image, mode, durable_mode),
            _ => unreachable!("a file's handle leads to a file"),
        }
    }

    pub(super) fn add(&mut self, folder: Node, name: &str, item: Item) -> Node {
        let node = self.next;
        self.next += 1;
        self.nodes.insert(node, item);
        self.names_mut(folder).change(&[(name, Some(node))]);
        node
    }

    pub(super) fn look_up(&self, folder: Node, name: &str) -> io::Result<Node> {
        self.names(folder).get(name).ok_or(io::ErrorKind::NotFound.into())
    }
}

impl Process {
    pub(super) fn folder(&self) -> Folder {
        Folder::over(Arc::new(SimFolder {
            process: self.clone(),
            node: ROOT,
        }))
        .with_passphrase(self.disk.passphrases.lock().unwrap()[0].clone())
    }

    pub(super) fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed)
    }

    /// The process ends here: none of its calls does anything any more.
    pub(super) fn end(&self) {
        self.alive.store(false, Ordering::Relaxed);
    }

    /// Goes through with one call, as far as the plan lets it. `act` is told how much is done of it: all (None), or so
    /// many bytes; of a call without bytes, 0 is nothing and 1 all.
    pub(super) fn call<T: Default>(
        &self,
        call: Call,
        (what, node): (u8, Node),
        bytes: usize,
        act: impl FnOnce(&mut State, Option<usize>) -> io::Result<T>,
    ) -> io::Result<T> {
        if self.writer && self.is_alive() {
            self.receive_visitor();
        }
        let mut state = self.disk.state();
        if !self.is_alive() {
            return Err(io::Error::other("the process has ended"));
        }
        let outcome = state.plan.decide(call, bytes, self.writer);
        let (kind, done) = match &outcome {
            Outcome::Done => (0, 0),
            Outcome::Short(done) => (1, *done),
            Outcome::Failed { done, .. } => (2, *done),
            Outcome::Last { done } => (3, *done),
        };
        state.calls += 1;
        for part in [u64::from(what), node, bytes as u64, kind, done as u64] {
            state.digest = (state.digest ^ part).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
        }
        match outcome {
            Outcome::Done => act(&mut state, None),
            Outcome::Short(done) => act(&mut state, Some(done)),
            Outcome::Failed { error, done } => {
                let _ = act(&mut state, Some(done));
                Err(error)
            }
            Outcome::Last { done } => {
                self.end();
                let _ = act(&mut state, Some(done));
                Err(io::Error::other("the process ends here"))
            }
        }
    }

    /// For calls that are done wholly or not at all.
    pub(super) fn whole<T: Default>(
        &self,
        call: Call,
        what: (u8, Node),
        act: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        self.call(call, what, 0, |state, done| match done {
            Some(0) => Ok(T::default()),
            _ => act(state),
        })
    }

    /// Somebody else acts before a call of the writer; not before the calls that this makes.
    fn receive_visitor(&self) {
        let visitor = self.disk.visitor.lock().unwrap().take();
        if let Some(mut visitor) = visitor {
            if self.disk.state().plan.dice().one_in(8) {
                visitor();
            }
            self.disk.visitor.lock().unwrap().get_or_insert(visitor);
        }
    }
}
