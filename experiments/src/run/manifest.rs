//! What this program wrote into a folder. `--force` removes what is listed here, and nothing else; a file that is not
//! listed is not replaced.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

use engine::checkpoint::write_atomic;
use serde::{Deserialize, Serialize};

use crate::run::error::CliError;

/// The list.
pub(super) const MANIFEST: &str = "manifest.toml";

/// Files and folders by their names, in one folder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub files: BTreeSet<String>,
    pub folders: BTreeSet<String>,
}

impl Manifest {
    /// The list of a folder, if it has one.
    pub fn read(folder: &Path) -> Result<Option<Self>, CliError> {
        let path = folder.join(MANIFEST);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let list: Self = toml::from_str(&text).map_err(|_| {
                    CliError::usage(format!(
                        "{}: is not the list of files that this program keeps; choose another folder",
                        path.display()
                    ))
                })?;
                // Whoever made the list: it reaches no other folder.
                match list.files.iter().chain(&list.folders).find(|name| !is_plain(name)) {
                    Some(name) => Err(CliError::usage(format!(
                        "{}: `{name}` is not the name of a file in this folder; choose another folder",
                        path.display()
                    ))),
                    None => Ok(Some(list)),
                }
            }
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(CliError::io(&path, &e)),
        }
    }

    /// Writes the list.
    pub fn write(&self, folder: &Path) -> Result<(), CliError> {
        let path = folder.join(MANIFEST);
        if path.is_symlink() {
            return Err(CliError::usage(format!("{}: is a link, which stays; remove it", path.display())));
        }
        let text = toml::to_string(self).map_err(|e| CliError::Failed(format!("{MANIFEST}: {e}")))?;
        let text = format!("# What this program wrote here: --force removes this and nothing else.\n{text}");
        write_atomic(&path, text.as_bytes()).map_err(|e| CliError::io(&path, &e))
    }
}

/// Whether a text is the name of one file, in no other folder.
pub fn is_plain(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(std::path::Component::Normal(part)), None) if part == name)
}
