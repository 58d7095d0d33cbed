//! A directory in memory: one that loses its power, and whose every act can fail.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::rc::Rc;

use super::super::Disk;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    Create,
    Append,
    Cut,
    Sync,
    Replace,
    SyncDirectory,
}

pub const ACTS: [Act; 6] = [Act::Create, Act::Append, Act::Cut, Act::Sync, Act::Replace, Act::SyncDirectory];

/// What the loss of power makes of bytes that were not synced.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    /// They are all there.
    Kept,
    /// Only the first ones are there, by so many hundredths.
    Cut(usize),
    /// The file has its length, and the bytes that were not synced are 0.
    Zeroed,
}

#[derive(Debug, Default)]
struct Inode {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// A sync has failed: the bytes are not tried again, and the next sync tells nothing of it.
    given_up: bool,
}

#[derive(Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    new: Option<usize>,
    file: Option<usize>,
    /// The file in use after a loss of power, and the one that it may be too.
    synced_file: Option<usize>,
    unsynced_file: Option<usize>,
    /// As for an inode.
    given_up: bool,
    failing: BTreeSet<Act>,
    syncs: u32,
}

#[derive(Clone, Debug, Default)]
pub struct Memory(Rc<RefCell<State>>);

impl Memory {
    /// From now on these fail, and only these.
    pub fn fail(&self, acts: &[Act]) {
        self.0.borrow_mut().failing = acts.iter().copied().collect();
    }

    /// The file in use.
    pub fn bytes(&self) -> Vec<u8> {
        let state = self.0.borrow();
        state.file.map(|at| state.inodes[at].now.clone()).unwrap_or_default()
    }

    pub fn syncs(&self) -> u32 {
        self.0.borrow().syncs
    }

    pub fn lose_power(&self, fate: Fate, renamed: bool) {
        let mut state = self.0.borrow_mut();
        let file = state.unsynced_file.filter(|_| renamed).or(state.synced_file);
        for inode in &mut state.inodes {
            let whole = inode.now.len();
            let same = inode.now.iter().zip(&inode.synced).take_while(|(now, synced)| now == synced).count();
            let tail = inode.now.get(same..).unwrap_or_default();
            if tail.is_empty() || inode.given_up {
                // What was cut off and never synced is there again.
                inode.now.clone_from(&inode.synced);
            } else {
                match fate {
                    Fate::Kept => {}
                    Fate::Cut(part) => inode.now.truncate(same + tail.len() * part / 100),
                    Fate::Zeroed => {
                        inode.now.truncate(same);
                        inode.now.resize(whole, 0);
                    }
                }
            }
            inode.synced.clone_from(&inode.now);
            inode.given_up = false;
        }
        (state.file, state.synced_file, state.unsynced_file, state.new) = (file, file, None, None);
        state.failing.clear();
    }

    fn act(&self, act: Act) -> io::Result<std::cell::RefMut<'_, State>> {
        let state = self.0.borrow_mut();
        if state.failing.contains(&act) { Err(io::Error::other("no")) } else { Ok(state) }
    }
}

impl Disk for Memory {
    type File = usize;

    fn path(&self) -> &Path {
        Path::new("memory")
    }

    fn create(&self) -> io::Result<usize> {
        let mut state = self.act(Act::Create)?;
        state.inodes.push(Inode::default());
        let new = state.inodes.len() - 1;
        state.new = Some(new);
        Ok(new)
    }

    fn append(&self, file: &mut usize, bytes: &[u8]) -> io::Result<()> {
        match self.act(Act::Append) {
            Ok(mut state) => state.inodes[*file].now.extend_from_slice(bytes),
            Err(error) => {
                // As a full disk does.
                let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
                self.0.borrow_mut().inodes[*file].now.extend_from_slice(half);
                return Err(error);
            }
        }
        Ok(())
    }

    fn cut(&self, file: &usize, length: u64) -> io::Result<()> {
        self.act(Act::Cut)?.inodes[*file].now.truncate(usize::try_from(length).unwrap());
        Ok(())
    }

    fn sync(&self, file: &usize) -> io::Result<()> {
        match self.act(Act::Sync) {
            Ok(mut state) => {
                state.syncs += 1;
                let inode = &mut state.inodes[*file];
                if !inode.given_up {
                    inode.synced.clone_from(&inode.now);
                }
                Ok(())
            }
            Err(error) => {
                self.0.borrow_mut().inodes[*file].given_up = true;
                Err(error)
            }
        }
    }

    fn replace(&self) -> io::Result<()> {
        let mut state = self.act(Act::Replace)?;
        state.file = state.new.take();
        (state.unsynced_file, state.given_up) = (state.file, false);
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        match self.act(Act::SyncDirectory) {
            Ok(mut state) => {
                if !state.given_up
                    && let Some(file) = state.unsynced_file.take()
                {
                    state.synced_file = Some(file);
                }
                Ok(())
            }
            Err(error) => {
                self.0.borrow_mut().given_up = true;
                Err(error)
            }
        }
    }
}
