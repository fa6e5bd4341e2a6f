//! Where a change can give a path other contents: the folder of its file, and those of all symbolic links on the way.

use std::collections::VecDeque;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// How many links are followed on one way: as many as Linux follows.
const LINKS_MAX: usize = 40;

/// A step of the way to a file: a name in a folder that is a link, or that of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) folder: PathBuf,
    pub(super) name: OsString,
}

/// The steps to a file: a change of one of these names can give the path other contents. The last name may be missing.
pub(super) fn steps(path: &Path) -> Vec<Step> {
    // A folder that is gone has no files either.
    let begin = if path.is_absolute() { PathBuf::new() } else { env::current_dir().unwrap_or_default() };
    let mut way: VecDeque<PathBuf> = parts(&begin.join(path)).collect();
    let (mut folder, mut steps, mut links) = (PathBuf::from("/"), Vec::new(), 0);
    while let Some(part) = way.pop_front() {
        match part.components().next() {
            Some(Component::RootDir) => folder = PathBuf::from("/"),
            Some(Component::ParentDir) => drop(folder.pop()),
            Some(Component::Normal(name)) => {
                let step = Step { folder: folder.clone(), name: name.to_owned() };
                let next = folder.join(name);
                let target = fs::read_link(&next).ok().filter(|_| links < LINKS_MAX);
                if target.is_some() || way.is_empty() {
                    steps.push(step);
                }
                if let Some(target) = target {
                    links += 1;
                    for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
                        way.push_front(part);
                    }
                } else {
                    folder = next;
                }
            }
            Some(Component::CurDir | Component::Prefix(_)) | None => {}
        }
    }
    steps
}

fn parts(path: &Path) -> impl Iterator<Item = PathBuf> {
    path.components().map(|part| PathBuf::from(part.as_os_str()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_link_on_the_way_is_a_step() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        // As Kubernetes mounts a secret: the folder `..data` is exchanged as a whole.
        fs::create_dir_all(root.join("secret/..1")).unwrap();
        fs::write(root.join("secret/..1/tls.crt"), "").unwrap();
        symlink("..1", root.join("secret/..data")).unwrap();
        symlink("..data/tls.crt", root.join("secret/tls.crt")).unwrap();
        symlink(root.join("secret"), root.join("mounted")).unwrap();
        let step = |folder: &str, name: &str| Step { folder: root.join(folder), name: name.into() };
        let expected = [
            Step { folder: root.clone(), name: "mounted".into() },
            step("secret", "tls.crt"),
            step("secret", "..data"),
            step("secret/..1", "tls.crt"),
        ];
        assert_eq!(steps(&root.join("mounted/./x/../tls.crt")), expected);
        assert_eq!(steps(&root.join("secret/..1/tls.crt")), [step("secret/..1", "tls.crt")]);
        assert_eq!(steps(&root.join("none/tls.crt")), [step("none", "tls.crt")]);
    }

    #[test]
    fn links_that_lead_nowhere_come_to_an_end() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        symlink("circle", root.join("circle")).unwrap();
        symlink("missing", root.join("dangling")).unwrap();
        assert_eq!(steps(&root.join("circle")).len(), LINKS_MAX + 1);
        let names: Vec<_> = steps(&root.join("dangling")).into_iter().map(|step| step.name).collect();
        assert_eq!(names, ["dangling", "missing"]);
    }
}
