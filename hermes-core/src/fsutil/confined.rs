//! Opens files, and follows no link out of a profile where that must not be.
//!
//! A gateway in a Pod sees its own home alone. A command outside of it sees all homes, so a link that the gateway makes would
//! have the command read another profile's file for it. After [`confine`] no path below a profile's home leads out of it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use rustix::fs::OFlags;

/// The directory of the profiles that are confined.
static PROFILES: OnceLock<PathBuf> = OnceLock::new();

/// From now on this process follows no link out of a home in the directory `profiles`. Idempotent; a second directory is
/// ignored.
pub fn confine(profiles: PathBuf) {
    let _ = PROFILES.set(profiles);
}

/// Opens `path` for reading, whatever its file type, without blocking on a FIFO and without acquiring a
/// controlling terminal.
pub fn open_to_read(path: &Path) -> io::Result<fs::File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    match home_of(path) {
        Some((home, inner)) => {
            let file = beneath(&home, &inner, flags).map_err(|error| explained(path, error))?;
            Ok(fs::File::from_parts(file, path))
        }
        None => {
            fs::OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
        }
    }
}

/// The file that the link `path` leads to, out of no confined home.
pub(crate) fn resolve(path: &Path) -> io::Result<PathBuf> {
    let target = path.canonicalize()?;
    match home_of(path) {
        Some((home, _)) if !target.starts_with(home.canonicalize()?) => Err(leads_out(path)),
        _ => Ok(target),
    }
}

/// The confined home that `path` is in, and its path in there.
fn home_of(path: &Path) -> Option<(PathBuf, PathBuf)> {
    split(PROFILES.get()?, path)
}

fn split(profiles: &Path, path: &Path) -> Option<(PathBuf, PathBuf)> {
    let mut parts = path.strip_prefix(profiles).ok()?.components();
    let home = profiles.join(parts.next()?);
    let inner = parts.as_path();
    (!inner.as_os_str().is_empty()).then(|| (home, inner.to_owned()))
}

/// Opens the file `inner` of the directory `home`, in which all links on the way end.
#[cfg(target_os = "linux")]
fn beneath(home: &Path, inner: &Path, flags: OFlags) -> io::Result<std::fs::File> {
    use rustix::fs::{Mode, ResolveFlags};
    let home = rustix::fs::open(home, super::DIRECTORY, Mode::empty())?;
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat2(&home, inner, flags, Mode::empty(), ResolveFlags::BENEATH)?.into())
}

/// The same where the system has no such call: no symbolic link is followed at the end.
#[cfg(not(target_os = "linux"))]
fn beneath(home: &Path, inner: &Path, flags: OFlags) -> io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let flags = (flags | OFlags::NOFOLLOW).bits().cast_signed();
    std::fs::OpenOptions::new().read(true).custom_flags(flags).open(home.join(inner))
}

fn explained(path: &Path, error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::CrossesDevices => leads_out(path),
        kind => io::Error::new(kind, format!("failed to open file `{}`: {error}", path.display())),
    }
}

fn leads_out(path: &Path) -> io::Error {
    let what = format!(
        "`{}` leads out of its profile's home, which no Pod may have us follow",
        path.display()
    );
    io::Error::new(io::ErrorKind::PermissionDenied, what)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_path_belongs_to_the_home_below_the_profiles() {
        let of = |path: &str| split(Path::new("/d/profiles"), Path::new(path));
        let expected = ("/d/profiles/coder".into(), "logs/x".into());
        assert_eq!(of("/d/profiles/coder/logs/x"), Some(expected));
        assert_eq!((of("/d/profiles/coder"), of("/d/config.yaml")), (None, None));
    }

    #[test]
    fn links_end_in_the_home() {
        let dir = tempfile::tempdir().unwrap();
        let [coder, writer] = ["coder", "writer"].map(|name| dir.path().join(name));
        fs::create_dir(&coder).unwrap();
        fs::create_dir(&writer).unwrap();
        for home in [&coder, &writer] {
            fs::write(home.join("config.yaml"), home.display().to_string()).unwrap();
        }
        let read = |inner: &str| {
            let mut text = String::new();
            beneath(&coder, Path::new(inner), OFlags::NONBLOCK)?.read_to_string(&mut text)?;
            Ok::<_, io::Error>(text)
        };
        assert_eq!(read("config.yaml").unwrap(), coder.display().to_string());
        symlink("config.yaml", coder.join("inside")).unwrap();
        assert_eq!(read("inside").unwrap(), coder.display().to_string());
        symlink(writer.join("config.yaml"), coder.join("absolute")).unwrap();
        symlink("../writer/config.yaml", coder.join("relative")).unwrap();
        symlink("../writer", coder.join("directory")).unwrap();
        for out in ["absolute", "relative", "directory/config.yaml", "../writer/config.yaml"] {
            let error = explained(Path::new(out), read(out).unwrap_err());
            assert!(
                error.to_string().contains("leads out of its profile's home"),
                "{out}: {error}"
            );
        }
        assert_eq!(read("absent").unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
