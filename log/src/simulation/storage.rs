//! Folders and files of the simulated machine, as the ledger uses them.

use std::{io, path::Path, sync::Arc};

use super::{
    disk::{Item, Process, State},
    image::FileImage,
    names::{Names, Node},
    plan::{Call, Lie},
};
use crate::disk::{Access, FileBackend, FolderBackend, Mode};

pub(super) struct SimFolder {
    pub(super) process: Process,
    pub(super) node: Node,
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

    fn length(&self, name: &str) -> io::Result<u64> {
        self.process.whole(Call::Look, (13, self.node), |state| {
            let node = state.look_up(self.node, name)?;
            Ok(state.file(node).0.len() as u64)
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
