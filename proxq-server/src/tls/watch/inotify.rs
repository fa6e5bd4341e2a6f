//! Linux's inotify, on folders: files are replaced by renaming others and by exchanging links, which only their folders
//! notice.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::tls::folders::{Step, steps};

/// How much is read at once: some ten events with names of usual length.
const EVENTS_BYTES: usize = 4096;

/// What is told of a folder. Not each write: a file that is written counts when its writer closes it.
const EVENTS: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// Watched folders.
#[derive(Debug)]
pub(super) struct Watch {
    events: AsyncFd<OwnedFd>,
    /// The names that matter in each folder, by its number.
    names: HashMap<i32, BTreeSet<OsString>>,
}

impl Watch {
    pub(super) fn on<'a>(paths: impl IntoIterator<Item = &'a Path>) -> io::Result<Self> {
        let events = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let mut names: HashMap<i32, BTreeSet<OsString>> = HashMap::new();
        for step in paths.into_iter().flat_map(steps) {
            let (folder, name) = add(&events, step)?;
            names.entry(folder).or_default().insert(name);
        }
        Ok(Self { events: registered(events)?, names })
    }

    pub(super) async fn changed(&self) -> io::Result<()> {
        loop {
            let mut readable = self.events.readable().await?;
            if let Ok(noticed) = readable.try_io(|events| self.read(events.get_ref()))
                && noticed?
            {
                return Ok(());
            }
        }
    }

    /// Reads what has happened; says whether it matters.
    fn read(&self, events: &OwnedFd) -> io::Result<bool> {
        let mut buffer = [MaybeUninit::uninit(); EVENTS_BYTES];
        let (mut reader, mut matters) = (Reader::new(events, &mut buffer), false);
        loop {
            let event = reader.next()?;
            let is_lost = event.events().intersects(ReadFlags::QUEUE_OVERFLOW | ReadFlags::IGNORED);
            matters |= is_lost
                || match event.file_name() {
                    None => true, // the folder itself
                    Some(name) => {
                        let name = OsStr::from_bytes(name.to_bytes());
                        self.names.get(&event.wd()).is_some_and(|names| names.contains(name))
                    }
                };
            if reader.is_buffer_empty() {
                return Ok(matters);
            }
        }
    }
}

/// Has the runtime tell when there is something to read.
#[expect(deprecated, reason = "its successor is unsafe to call, for types that may give another descriptor later")]
fn registered(events: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(events, Interest::READABLE)
}

/// Watches the folder of a step; where it is missing, the next one above it, in which it may appear. Gives its number, and the
/// name that matters in it.
fn add(events: &OwnedFd, step: Step) -> io::Result<(i32, OsString)> {
    let Step { mut folder, mut name } = step;
    loop {
        match inotify::add_watch(events, &folder, EVENTS) {
            Ok(number) => return Ok((number, name)),
            Err(missing @ (Errno::NOENT | Errno::NOTDIR | Errno::ACCESS)) => {
                let Some(above) = folder.file_name().map(OsStr::to_owned) else { return Err(missing.into()) };
                name = above;
                folder.pop();
            }
            Err(other) => return Err(other.into()),
        }
    }
}
