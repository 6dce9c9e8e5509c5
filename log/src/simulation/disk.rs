//! Storage that forgets what was not synced, and fails when its plan says so.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    dice::Dice,
    image::FileImage,
    names::{Names, Node},
    plan::{Call, Lie, Outcome, Plan},
};
use crate::disk::{Access, FileBackend, Folder, FolderBackend, Mode};

const ROOT: Node = 0;

/// A machine with one disk. Clones are the same one.
#[derive(Clone)]
pub(super) struct Disk {
    state: Arc<Mutex<State>>,
    visitor: Arc<Mutex<Option<Visitor>>>,
}

/// What goes on between two calls of the writer.
pub(super) type Visitor = Box<dyn FnMut() + Send>;

#[derive(Clone)]
pub(super) struct State {
    nodes: BTreeMap<Node, Item>,
    next: Node,
    /// Which open file holds the lock of a file.
    locks: HashMap<Node, u64>,
    opened: u64,
    pub(super) plan: Plan,
    /// Each content that a file of the name `checkpoint` has had, for whoever wants to see them all.
    pub(super) checkpoints: Vec<Vec<u8>>,
    /// Calls so far, and a digest of what they were and what became of them.
    pub(super) calls: u64,
    pub(super) digest: u64,
}

#[derive(Debug, Clone)]
enum Item {
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
    disk: Disk,
    writer: bool,
    alive: Arc<AtomicBool>,
}

impl Disk {
    pub(super) fn new(dice: Dice) -> Self {
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

    fn names(&self, folder: Node) -> &Names {
        match &self.nodes[&folder] {
            Item::Folder(names) => names,
            Item::File { .. } => unreachable!("a folder's handle leads to a folder"),
        }
    }

    fn names_mut(&mut self, folder: Node) -> &mut Names {
        match self.nodes.get_mut(&folder) {
            Some(Item::Folder(names)) => names,
            _ => unreachable!("a folder's handle leads to a folder"),
        }
    }

    fn file(&mut self, node: Node) -> (&mut FileImage, &mut u32, &mut u32) {
        match self.nodes.get_mut(&node) {
            Some(Item::File {
                image,
                mode,
                durable_mode,
            }) => (image, mode, durable_mode),
            _ => unreachable!("a file's handle leads to a file"),
        }
    }

    fn add(&mut self, folder: Node, name: &str, item: Item) -> Node {
        let node = self.next;
        self.next += 1;
        self.nodes.insert(node, item);
        self.names_mut(folder).change(&[(name, Some(node))]);
        node
    }

    fn look_up(&self, folder: Node, name: &str) -> io::Result<Node> {
        self.names(folder).get(name).ok_or(io::ErrorKind::NotFound.into())
    }
}

impl Process {
    pub(super) fn folder(&self) -> Folder {
        Folder::over(Arc::new(SimFolder {
            process: self.clone(),
            node: ROOT,
        }))
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
    fn call<T: Default>(
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
    fn whole<T: Default>(
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

struct SimFolder {
    process: Process,
    node: Node,
}

impl SimFolder {
    fn opened(&self, state: &mut State, node: Node) -> Box<dyn FileBackend> {
        state.opened += 1;
        Box::new(SimFile {
            process: self.process.clone(),
            node,
            handle: state.opened,
        })
    }
}

impl FolderBackend for SimFolder {
    fn open_folder(&self, name: &str) -> io::Result<Arc<dyn FolderBackend>> {
        let node = self
            .process
            .whole(Call::Open, (1, self.node), |state| state.look_up(self.node, name))?;
        Ok(Arc::new(Self {
            process: self.process.clone(),
            node,
        }))
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.process.whole(Call::Grow, (2, self.node), |state| {
            let mut folder = self.node;
            let mut parts: Vec<_> = path.iter().filter_map(|part| part.to_str()).collect();
            let last = parts.pop().unwrap_or_default();
            for part in parts {
                folder = state.look_up(folder, part)?;
            }
            if state.names(folder).get(last).is_some() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            state.add(folder, last, Item::Folder(Names::default()));
            Ok(())
        })
    }

    fn open_file(&self, name: &str, mode: Mode) -> io::Result<Box<dyn FileBackend>> {
        let there = self.process.is_alive() && self.process.disk.state().names(self.node).get(name).is_some();
        let fresh = match mode {
            Mode::Read | Mode::Write => None,
            Mode::WriteOrCreate(access) => Some(access).filter(|_| !there),
            Mode::Create(access) => Some(access),
        };
        let call = if fresh.is_some() { Call::Grow } else { Call::Open };
        let node = self.process.whole(call, (3, self.node), |state| {
            let node = match (state.names(self.node).get(name), fresh) {
                (Some(_), Some(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
                (Some(node), None) => node,
                (None, None) => return Err(io::ErrorKind::NotFound.into()),
                (None, Some(access)) => {
                    let mode = match access {
                        Access::Private => 0o600,
                        Access::Usual => 0o644,
                    };
                    let item = Item::File {
                        image: FileImage::default(),
                        mode,
                        durable_mode: mode,
                    };
                    state.add(self.node, name, item)
                }
            };
            let write = !matches!(mode, Mode::Read);
            if write && *state.file(node).1 & 0o200 == 0 {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            Ok(node)
        })?;
        Ok(self.opened(&mut self.process.disk.state(), node))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.process.whole(Call::Name, (4, self.node), |state| {
            let node = state.look_up(self.node, from)?;
            if state.plan.lie == Some(Lie::Rename) {
                state.names_mut(self.node).change(&[(to, None)]);
            }
            let names = [(from, None), (to, Some(node))];
            state.names_mut(self.node).change(&names);
            if to == "checkpoint" {
                let bytes = state.file(node).0.bytes().to_vec();
                state.checkpoints.push(bytes);
            }
            Ok(())
        })
    }

    fn exchange(&self, a: &str, b: &str) -> io::Result<()> {
        self.process.whole(Call::Name, (5, self.node), |state| {
            let (of_a, of_b) = (state.look_up(self.node, a)?, state.look_up(self.node, b)?);
            state.names_mut(self.node).change(&[(a, Some(of_b)), (b, Some(of_a))]);
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.process.whole(Call::Name, (6, self.node), |state| {
            state.look_up(self.node, name)?;
            state.names_mut(self.node).change(&[(name, None)]);
            Ok(())
        })
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.process.whole(Call::Read, (7, self.node), |state| {
            Ok(state.names(self.node).list().map(|(name, _)| name.clone()).collect())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.process.whole(Call::Sync, (8, self.node), |state| {
            if state.plan.lie != Some(Lie::FolderSync) {
                state.names_mut(self.node).sync();
            }
            Ok(())
        })
    }

    fn make_writable(&self, name: &str) -> io::Result<()> {
        self.process.whole(Call::Look, (9, self.node), |state| {
            let node = state.look_up(self.node, name)?;
            *state.file(node).1 |= 0o200;
            Ok(())
        })
    }

    fn is_on_network(&self) -> io::Result<bool> {
        Ok(false)
    }
}

struct SimFile {
    process: Process,
    node: Node,
    handle: u64,
}

impl SimFile {
    fn sync(&self, what: u8, all: bool) -> io::Result<()> {
        self.process.call(Call::Sync, (what, self.node), 0, |state, done| {
            let lie = state.plan.lie == Some(Lie::FileSync);
            let (image, mode, durable_mode) = state.file(self.node);
            let (failed, is_done) = (done.is_some() && self.process.is_alive(), done != Some(0));
            if failed {
                image.fail_sync();
            } else if is_done && !lie {
                image.sync();
                if all {
                    *durable_mode = *mode;
                }
            }
            Ok(())
        })
    }
}

impl FileBackend for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.process.whole(Call::Look, (20, self.node), |state| {
            Ok(state.file(self.node).0.len() as u64)
        })
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.process
            .call(Call::Read, (21, self.node), bytes.len(), |state, done| {
                let most = done.unwrap_or(bytes.len()).min(bytes.len());
                Ok(state.file(self.node).0.read(&mut bytes[..most], offset as usize))
            })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let offset = offset as usize;
        let grows = {
            let mut state = self.process.disk.state();
            !self.process.is_alive() || offset + bytes.len() > state.file(self.node).0.len()
        };
        let call = if grows { Call::Grow } else { Call::Write };
        self.process.call(call, (22, self.node), bytes.len(), |state, done| {
            let done = done.unwrap_or(bytes.len()).min(bytes.len());
            let lie = state.plan.lie == Some(Lie::SameBytes);
            let image = state.file(self.node).0;
            if !lie || image.bytes().get(offset..offset + done) != Some(&bytes[..done]) {
                image.write(&bytes[..done], offset);
            }
            Ok(done)
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync(23, false)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync(24, true)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.process.whole(Call::Write, (25, self.node), |state| {
            state.file(self.node).0.set_len(length as usize);
            Ok(())
        })
    }

    fn set_read_only(&self) -> io::Result<()> {
        self.process.whole(Call::Look, (26, self.node), |state| {
            *state.file(self.node).1 &= !0o222;
            Ok(())
        })
    }

    fn is_shared(&self) -> io::Result<bool> {
        self.process.whole(Call::Look, (27, self.node), |state| {
            Ok(*state.file(self.node).1 & 0o077 != 0)
        })
    }

    /// This storage has no such attribute.
    fn is_immutable(&self) -> io::Result<bool> {
        Ok(false)
    }

    fn set_immutable(&self, _immutable: bool) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.process.whole(Call::Look, (28, self.node), |state| {
            let free = state.plan.lie == Some(Lie::Lock);
            let holder = *state.locks.entry(self.node).or_insert(self.handle);
            Ok(free || holder == self.handle)
        })
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.process.disk.state();
        if state.locks.get(&self.node) == Some(&self.handle) {
            state.locks.remove(&self.node);
        }
    }
}
