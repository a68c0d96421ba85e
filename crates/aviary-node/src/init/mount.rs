//! What a container sees of the file system: the host's, with the pod's volumes put in and Aviary's own folder hidden.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::chroot;

use super::protocol::Mount;

const NONE: Option<&str> = None;

/// Stops mounts made here from reaching others.
pub(super) fn make_private() -> io::Result<()> {
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).map_err(Into::into)
}

/// Changes the mount namespace of the calling process.
#[derive(Debug, Default)]
pub(super) struct View {
    /// Folders that were replaced by a writable copy of their top level.
    replaced: Vec<PathBuf>,
}

impl View {
    /// Shows each `mount.source` at its `mount.target`, which need not exist.
    ///
    /// All sources are opened first: a volume at `/tmp`, say, may cover the folder of the next.
    pub(super) fn show_all(&mut self, mounts: &[Mount], spare: &Path) -> io::Result<()> {
        let sources = mounts.iter().map(|mount| handle(&mount.source));
        let sources = sources.collect::<io::Result<Vec<File>>>()?;
        for (mount, source) in mounts.iter().zip(sources) {
            self.show(mount, &source, spare).map_err(|error| {
                let what = format!("cannot mount `{}`: {error}", mount.target.display());
                io::Error::new(error.kind(), what)
            })?;
        }
        Ok(())
    }

    fn show(&mut self, mount: &Mount, source: &File, spare: &Path) -> io::Result<()> {
        let target = self.ensure(&mount.target, source.metadata()?.is_dir(), spare)?;
        bind(&through(source), &target)?;
        if mount.read_only {
            make_read_only(&target)
        } else {
            Ok(())
        }
    }

    /// Makes sure that `target` exists, without touching the host's file system. `spare` is an empty folder.
    fn ensure(&mut self, target: &Path, folder: bool, spare: &Path) -> io::Result<PathBuf> {
        if let Ok(real) = target.canonicalize() {
            return Ok(real);
        }
        let mut ancestor = target.parent().unwrap_or_else(|| Path::new("/"));
        while !ancestor.exists() {
            ancestor = ancestor.parent().unwrap_or_else(|| Path::new("/"));
        }
        let rest = target.strip_prefix(ancestor).map_err(io::Error::other)?;
        let real = ancestor.canonicalize()?;
        if !self.replaced.contains(&real) {
            if real == Path::new("/") {
                replace_root(spare)?;
            } else {
                replace(&real, &real)?;
            }
            self.replaced.push(real.clone());
        }
        let path = real.join(rest);
        if path.is_symlink() {
            fs::remove_file(&path)?;
        }
        if folder {
            fs::create_dir_all(&path)?;
        } else {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            File::create(&path)?;
        }
        path.canonicalize()
    }
}

/// Mounts a fresh tmpfs at `at` whose entries are those of `original`.
fn replace(original: &Path, at: &Path) -> io::Result<()> {
    // The descriptor keeps the way to the original folder once it is covered.
    let before = handle(original)?;
    let mode = fs::metadata(original)?;
    let options = format!(
        "mode={:o}",
        std::os::unix::fs::MetadataExt::mode(&mode) & 0o7777
    );
    let entries: Vec<_> = fs::read_dir(original)?.flatten().collect();
    mount(
        Some("tmpfs"),
        at,
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        Some(options.as_str()),
    )?;
    for entry in entries {
        let source = through(&before).join(entry.file_name());
        let target = at.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
            continue;
        }
        if kind.is_dir() {
            fs::create_dir(&target)?;
        } else {
            File::create(&target)?;
        }
        // Entries that even their owner may not see are no loss.
        let _ = bind(&source, &target);
    }
    Ok(())
}

/// As [`replace`] for `/`, which cannot be covered: the copy is made at `spare` and becomes the root.
fn replace_root(spare: &Path) -> io::Result<()> {
    fs::create_dir_all(spare)?;
    replace(Path::new("/"), spare)?;
    chroot(spare)?;
    std::env::set_current_dir("/")
}

/// Covers `home` so that only the folders `reveal` below it are seen.
pub(super) fn hide(home: &Path, reveal: &[PathBuf]) -> io::Result<()> {
    if !home.exists() {
        return Ok(());
    }
    let shown: Vec<_> = reveal
        .iter()
        .filter_map(|path| handle(path).ok().map(|handle| (path, handle)))
        .collect();
    mount(
        Some("tmpfs"),
        home,
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        Some("mode=0700"),
    )?;
    for (path, handle) in shown {
        fs::create_dir_all(path)?;
        bind(&through(&handle), path)?;
    }
    Ok(())
}

/// Shows the files of `folder` in place of the host's files of the same name in `/etc`.
pub(crate) fn replace_etc(folder: &Path, spare: &Path) -> io::Result<()> {
    let mut view = View::default();
    for name in ["hosts", "resolv.conf", "nsswitch.conf"] {
        let (source, target) = (folder.join(name), Path::new("/etc").join(name));
        // A system that lacks nsswitch.conf has no use for it.
        if source.exists() && (target.exists() || name != "nsswitch.conf") {
            let mount = Mount {
                source,
                target,
                read_only: false,
            };
            view.show_all(&[mount], spare)?;
        }
    }
    Ok(())
}

fn handle(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_CLOEXEC)
        .open(path)
}

fn through(handle: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", handle.as_raw_fd()))
}

fn bind(source: &Path, target: &Path) -> io::Result<()> {
    mount(
        Some(source),
        target,
        NONE,
        MsFlags::MS_BIND | MsFlags::MS_REC,
        NONE,
    )
    .map_err(Into::into)
}

fn make_read_only(target: &Path) -> io::Result<()> {
    // In a user namespace the flags that the mount has already may not be dropped.
    let have = statvfs(target)?.flags();
    let mut flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    for (fs, ms) in [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ] {
        if have.contains(fs) {
            flags |= ms;
        }
    }
    mount(NONE, target, NONE, flags, NONE).map_err(Into::into)
}
