//! The data of a run, which must be those that it began with when it is resumed.

use std::path::Path;

use models::gnn::Dataset;

use crate::datasets::{Sourced, load_sourced};
use crate::run::error::CliError;
use crate::run::{Input, Inputs, RunFolder};

/// What a file of data is to a run on one data set.
const DATA: &str = "data set";

/// The files that a run reads: its data, unless they are built in.
pub(crate) fn inputs(input: Option<Input>) -> Inputs {
    input.map(|input| (DATA.to_string(), input)).into_iter().collect()
}

/// The data set of the run in a folder, from the file that --data-dir or METASTABLE_DATA leads to now.
pub(crate) fn load_again(
    name: &str,
    folder: &RunFolder,
    data_dir: Option<&Path>,
) -> Result<Dataset, CliError> {
    let was = folder.inputs()?.get(DATA).and_then(Input::path);
    // Where the name leads to nothing, the file is where it was, or in the folder that is named now.
    let Sourced { data, input } = load_sourced(name, data_dir).or_else(|e| {
        let moved = || Some(data_dir?.join(was.as_ref()?.file_name()?));
        let found = [moved(), was.clone()].into_iter().flatten().find(|path| path.is_file());
        found.map_or(Err(e), |path| load_sourced(&path.to_string_lossy(), None))
    })?;
    match (input, folder.inputs()?.contains_key(DATA)) {
        (Some(input), _) => {
            let path = input.path().unwrap_or_else(|| name.into());
            folder.check_input(DATA, &path, &input).map(|()| data)
        }
        (None, false) => Ok(data),
        (None, true) => {
            Err(CliError::usage(format!("data set {name}: the run began with a file of that name")))
        }
    }
}
