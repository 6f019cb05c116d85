//! `results/latest`, a link to the folder of the last run.

use std::path::Path;

use engine::checkpoint::LEFTOVER;

use super::{RunFolder, SEEDS, tasks};

/// Files of folders whose runs, in folders inside, are resumed as a whole.
pub(super) const WHOLES: [&str; 2] = [SEEDS, "batch.toml"];

impl RunFolder {
    /// Points `results/latest` at this folder, or at the one that it is resumed with as a part, where that is possible.
    pub fn mark_latest(&self) {
        // Tasks of a sweep would take the link from each other.
        if self.nowhere || tasks::is_of_one(&self.path) {
            return;
        }
        let is_whole = |folder: &&Path| WHOLES.iter().any(|name| folder.join(name).is_file());
        let path = self.path.parent().filter(is_whole).unwrap_or(&self.path);
        #[cfg(unix)]
        // The path may lead through the link that is to be moved.
        if let (Ok(real), Ok(results)) = (path.canonicalize(), Path::new("results").canonicalize())
            && let Ok(rest) = real.strip_prefix(&results)
        {
            let link = results.join("latest");
            // A file or a folder of that name is the user's.
            if link.symlink_metadata().is_ok_and(|there| !there.is_symlink()) {
                return;
            }
            // Renamed, the link is there at every moment.
            let next = results.join(format!("{LEFTOVER}latest-{}", std::process::id()));
            let moved = std::os::unix::fs::symlink(rest, &next).and_then(|()| std::fs::rename(&next, &link));
            if moved.is_err() {
                let _ = std::fs::remove_file(&next);
            }
        }
    }
}
