//! What a command asks for on one data set: a run, or a search and the run of what it found.

use std::path::{Path, PathBuf};

use super::{GraphConfig, Options, Run, Search, Summary};
use crate::failure::Failure;
use crate::graph_data::load;
use crate::interrupt::Interrupt;
use crate::run_folder::{RunFolder, resolved};

/// Where data are found, and how a task is watched.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Folder of data sets, if one was named.
    pub data_dir: Option<&'a Path>,
    /// How runs are watched.
    pub options: Options,
    /// Asked after each epoch.
    pub interrupt: &'a Interrupt,
}

/// Trains with the settings of `config` in the folder `out`, or searches `search` settings in its folder search
/// and trains with the best in its folder best.
pub fn start(
    out: &Path,
    force: bool,
    config: GraphConfig,
    search: Option<u64>,
    with: &Surroundings<'_>,
) -> Result<Summary, Failure> {
    let data = load(&config.data.name, with.data_dir)?;
    let Some(trials) = search else {
        let run = Run::create(out, force, config, data, with.options)?;
        if force {
            clear(&[out.join("search"), out.join("best")])?;
        }
        return run.execute(with.interrupt);
    };
    let folder = RunFolder::create(&out.join("search"), force)?;
    if force {
        clear(&[out.to_path_buf(), out.join("best")])?;
    }
    let best =
        Search::create(folder, config, trials)?.execute(data.clone(), with.options.quiet, with.interrupt)?;
    Run::create(&out.join("best"), force, best, data, with.options)?.execute(with.interrupt)
}

/// Removes all files of an earlier task: what is left of one would be taken for the new task's.
pub(super) fn discard(out: &Path) -> Result<(), Failure> {
    clear(&[out.to_path_buf(), out.join("search"), out.join("best")])
}

fn clear(folders: &[PathBuf]) -> Result<(), Failure> {
    folders.iter().filter(|folder| folder.is_dir()).try_for_each(|f| RunFolder::create(f, true).map(drop))
}

/// Whether [`start`] has got as far as a folder that [`resume`] can go on with.
pub fn begun(out: &Path) -> bool {
    [out.to_path_buf(), out.join("search")].iter().any(|folder| folder.join("config.toml").exists())
}

/// Goes on with what [`start`] began.
pub fn resume(path: &Path, with: &Surroundings<'_>) -> Result<Summary, Failure> {
    let path = &resolved(path);
    let (search, best) = (path.join("search"), path.join("best"));
    let searched = search.join("config.toml").exists();
    let path = if searched { best.as_path() } else { path };
    if searched && !best.join("config.toml").exists() {
        let search = Search::resume(RunFolder::open(&search, &["config.toml", "plan.toml"])?)?;
        let data = load(search.data_name(), with.data_dir)?;
        let config = search.execute(data.clone(), with.options.quiet, with.interrupt)?;
        return Run::create(path, true, config, data, with.options)?.execute(with.interrupt);
    }
    let data = load(&Run::settings(path)?.data.name, with.data_dir)?;
    Run::resume(path, data, with.options)?.execute(with.interrupt)
}
