//! env.json: what is needed to repeat a run elsewhere.

use crate::run::error::CliError;
use crate::run::folder::RunFolder;

/// The version of this program, with the commit where the build knows it.
///
/// Release builds know it; the programs themselves ask nothing of the folders that they are run in.
pub fn version() -> String {
    match option_env!("METASTABLE_COMMIT") {
        Some(commit) => format!("{} ({commit})", env!("CARGO_PKG_VERSION")),
        None => env!("CARGO_PKG_VERSION").into(),
    }
}

/// Writes env.json.
pub fn write(folder: &RunFolder, threads: usize) -> Result<(), CliError> {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|l| l.strip_prefix("model name"))
        .map(|l| l.trim_start_matches(['\t', ' ', ':']).to_string());
    let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let environment = serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "commit": option_env!("METASTABLE_COMMIT"),
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "cpu": model,
        "simd": format!("{:?}", engine::simd::level()),
        "threads": threads,
        "command": words.collect::<Vec<_>>(),
    });
    folder.write("env.json", format!("{environment:#}\n").as_bytes())
}
