//! report.html: everything about a run on one page, in one file that needs no network, no script and no other file.
//!
//! Pictures are those of the folder, inlined as SVG. Of the command line the names of files stay and the folders that
//! they lie in do not: the page may be given away, as config.toml may, which it shows.

mod page;
mod words;

use models::audit::Level;
use models::evaluate::Figure;
use serde_json::Value;

use self::page::{cards, listed, page, section, table, tight};
use super::SampleConfig;
use super::modes::Modes;
use super::observe::{self, Observed};
use super::verdict::{LOG_Z, Sentence, gravest};
use crate::plot::escaped;
use crate::run::RunFolder;
use crate::run::error::CliError;
use crate::table::figure;

/// What the page is made from, besides files of the folder.
pub(super) struct Report<'a> {
    pub config: &'a SampleConfig,
    /// Steps done and wanted.
    pub steps: (u64, u64),
    pub figures: &'a [Figure],
    /// The findings, the worst first.
    pub said: &'a [Sentence],
    pub modes: &'a Modes,
    pub observed: &'a [Observed],
}

/// Pictures of a run in the order of the page, with what they show.
const PICTURES: [(&str, &str); 5] = [
    ("samples", "Samples over the density"),
    ("energies", "Energies of the samples, and of the reference where there is one"),
    ("distances", "Distances between particles"),
    ("structures", "Some of the samples, and some of the reference"),
    ("training", "Along the run"),
];
/// How a picture of three columns begins.
const WIDE: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"2";
/// Modes on the page, at most.
const MODES: usize = 100;
/// Those that are shown at once.
const FIRST_MODES: usize = 12;
/// Coordinates of a centre on the page, at most.
const COORDINATES: usize = 6;

impl Report<'_> {
    /// Writes report.html.
    ///
    /// # Errors
    /// The folder cannot be read or written to.
    pub fn write(&self, folder: &RunFolder) -> Result<(), CliError> {
        let text = |name: &str| folder.read(name).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let environment = serde_json::from_str(&text("env.json")?).unwrap_or(Value::Null);
        let mut pictures = Vec::new();
        for (name, caption) in PICTURES {
            if folder.file(&format!("{name}.svg")).is_file() {
                pictures.push((caption, text(&format!("{name}.svg"))?));
            }
        }
        let html = self.html(&text("config.toml")?, &environment, &pictures);
        folder.write("report.html", html.as_bytes())
    }

    fn html(&self, settings: &str, environment: &Value, pictures: &[(&str, String)]) -> String {
        let (target, method) = (&self.config.target.name, self.config.method.name());
        let title = format!("{target}, sampled by {method}");
        let body = [
            self.head(&title),
            self.verdict(),
            self.observables(),
            self.modes(),
            self.pictures(pictures),
            self.measured(),
            self.evaluations(),
            section(
                "Settings",
                &format!("<details><summary>config.toml</summary><pre>{}</pre></details>", escaped(settings)),
            ),
            section("Program and machine", &self.environment(environment)),
        ];
        page(&title, &body.concat())
    }

    fn value(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|f| f.name == name).map(|f| f.value)
    }

    /// Title, and the figures that everybody asks for.
    fn head(&self, title: &str) -> String {
        let mut all: Vec<(&str, String)> = Vec::new();
        if let Some(f) = LOG_Z.iter().find_map(|name| self.figures.iter().find(|f| f.name == *name)) {
            let bound = if f.lower_bound { "at least about " } else { "" };
            all.push(("log Z", format!("{bound}{}", spread(f.value, f.sd))));
        }
        if let Modes::Found(found) = self.modes {
            all.push(("modes in the samples", found.modes.len().to_string()));
        }
        if let Some(share) = self.value("trajectory_ess") {
            all.push(("effective share of weights", spread(share, None)));
        }
        if let Some(count) = self.value("energy_evaluations").filter(|n| *n > 0.0) {
            all.push(("energy evaluations", whole(count)));
        }
        if let Some(seconds) = self.value("seconds").filter(|s| *s > 0.0) {
            all.push(("time", duration(seconds)));
        }
        let samples = self.config.evaluation.drawn();
        let (done, total) = self.steps;
        let steps = if done == total { format!("{total} steps") } else { format!("step {done} of {total}") };
        let line = format!("{samples} samples, {steps}, seed {}", self.config.seed);
        format!(
            "<header><h1>{}</h1><p class=\"quiet\">{}</p>{}</header>",
            escaped(title),
            escaped(&line),
            cards(&all)
        )
    }

    fn verdict(&self) -> String {
        let item = |s: &Sentence| {
            let (class, sign) = match s.level {
                Level::Good => ("good", "holds"),
                Level::Doubtful => ("doubt", "look"),
                Level::Bad => ("bad", "wrong"),
            };
            format!("<li class=\"{class}\"><b>{sign}</b> <span>{}</span></li>", escaped(&s.text))
        };
        let items: String = self.said.iter().map(item).collect();
        let title = format!("What may be believed: {}", gravest(self.said.iter()));
        section(&title, &format!("<ul class=\"verdict\">{items}</ul>"))
    }

    fn observables(&self) -> String {
        if self.observed.is_empty() {
            return String::new();
        }
        let cell = |c: String| c.replace("+-", "±");
        let rows = observe::rows(self.observed);
        let rows: Vec<Vec<String>> =
            rows.into_iter().map(|row| row.into_iter().map(cell).collect()).collect();
        section("Observables", &table(&observe::COLUMNS, &rows))
    }

    fn modes(&self) -> String {
        let found = match self.modes {
            Modes::Off => return String::new(),
            Modes::Skipped(why) => {
                return section("Modes", &format!("<p>Not looked for: {}</p>", escaped(why)));
            }
            Modes::Found(found) => found,
        };
        let shown = found.modes.first().map_or(0, |m| m.centre.len().min(COORDINATES));
        let is_weighted = found.modes.iter().any(|m| (m.share.weight - m.raw).abs() > 1e-9);
        let mut header = vec!["mode", "weight"];
        header.extend(is_weighted.then_some("share of raw samples"));
        header.extend(["free energy, k<sub>B</sub>T", "energy", "samples", "centre"]);
        let is_cut = found.modes.first().is_some_and(|m| m.centre.len() > shown);
        let row = |(k, m): (usize, &models::evaluate::modes::Mode)| {
            let list =
                |v: &[f64]| v.iter().take(shown).map(|v| spread(*v, None)).collect::<Vec<_>>().join(", ");
            let more = if is_cut { ", …" } else { "" };
            let s = &m.share;
            let mut row = vec![k.to_string(), spread(s.weight, finite(s.weight_error))];
            row.extend(is_weighted.then(|| format!("{:.4}", m.raw)));
            row.push(if k == 0 { "0".into() } else { spread(s.free_energy, finite(s.free_energy_error)) });
            row.extend([spread(m.energy, None), m.samples.to_string(), format!("{}{more}", list(&m.centre))]);
            row
        };
        let rows: Vec<Vec<String>> = found.modes.iter().enumerate().take(MODES).map(row).collect();
        let left = found.modes.len() - rows.len();
        let left = if left > 0 {
            format!(" The {left} lightest modes are in modes.csv alone.")
        } else {
            String::new()
        };
        let text = format!(
            "<p>{} of the samples were moved down the energy, each to the minimum of its basin; a mode is a basin, and its weight that of the samples that came to it. Free energies are −log(w / w₀), w₀ the weight of the heaviest mode. modes.csv has centres and widths in all coordinates.{left}</p>",
            found.descents
        );
        let (first, others) = rows.split_at(rows.len().min(FIRST_MODES));
        let others = match others.len() {
            0 => String::new(),
            n => format!("<details><summary>{n} more</summary>{}</details>", tight(&header, others)),
        };
        section("Modes", &(text + &tight(&header, first) + &others))
    }

    fn pictures(&self, pictures: &[(&str, String)]) -> String {
        // Pictures of several columns scroll where there is no room.
        let is_wide = |svg: &str| svg.starts_with(WIDE);
        let one = |(caption, svg): &(&str, String)| {
            let class = if is_wide(svg) { " class=\"wide\"" } else { "" };
            format!("<figure{class}>{svg}<figcaption>{}</figcaption></figure>", escaped(caption))
        };
        let all: String = pictures.iter().map(one).collect();
        if all.is_empty() { all } else { section("Pictures", &all) }
    }

    fn measured(&self) -> String {
        let is_count =
            |f: &&Figure| f.name.ends_with("_evaluations") || ["seconds", "peak_mib"].contains(&f.name);
        let row = |f: &Figure| {
            let bound = if f.lower_bound { "at least about " } else { "" };
            let floor = f.floor.map(|v| spread(v, f.floor_se)).unwrap_or_default();
            let meaning = words::meaning(f.name).unwrap_or_default();
            vec![f.name.to_string(), format!("{bound}{}", spread(f.value, f.sd)), floor, meaning]
        };
        let rows: Vec<Vec<String>> = self.figures.iter().filter(|f| !is_count(f)).map(row).collect();
        let text = "<p>A floor is the same figure between exact samples, or the known value: what an exact sampler scores. Behind ± stands the standard deviation over sets of samples; of log Z and nll, of figures of chains and of floors it is the standard error.</p>";
        section("Figures", &(text.to_string() + &table(&["figure", "value", "floor", "what it is"], &rows)))
    }

    fn evaluations(&self) -> String {
        let phases = self.figures.iter().filter(|f| f.name.ends_with("_evaluations") && f.value > 0.0);
        let row = |f: &Figure| {
            vec![
                f.name.trim_end_matches("_evaluations").to_string(),
                whole(f.value),
                words::meaning(f.name).unwrap_or_default(),
            ]
        };
        let rows: Vec<Vec<String>> = phases.map(row).collect();
        let peak = self.value("peak_mib").map_or_else(String::new, |v| format!(" Most memory: {v:.0} MiB."));
        let time = self.value("seconds").map_or_else(String::new, |s| {
            format!("<p>Time of the run, without measurements: {}.{peak}</p>", duration(s))
        });
        section("Evaluations of the energy", &(table(&["phase", "evaluations", "what for"], &rows) + &time))
    }

    fn environment(&self, environment: &Value) -> String {
        let word = |key: &str| match environment.get(key) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        let words = environment.get("command").and_then(Value::as_array);
        let command = words.map(|words| words.iter().filter_map(Value::as_str).map(without_folders));
        let mut rows: Vec<Vec<String>> = Vec::new();
        let mut put = |name: &str, value: Option<String>| {
            rows.extend(value.map(|value| vec![name.to_string(), value]));
        };
        put("version", word("version"));
        put("commit", word("commit"));
        put("processor", word("cpu"));
        put("SIMD level", word("simd"));
        put("threads", word("threads"));
        put("system", word("os").zip(word("arch")).map(|(os, arch)| format!("{os}, {arch}")));
        put("seed", Some(self.config.seed.to_string()));
        put("command", command.map(|words| words.collect::<Vec<_>>().join(" ")));
        let files = listed(words::FILES);
        table(&["", ""], &rows)
            + &format!("<details><summary>Files beside this one</summary>{files}</details>")
    }
}

/// A word of a command line: of what lies in a folder by its whole path, only the name.
fn without_folders(word: &str) -> String {
    let (flag, value) = match word.rsplit_once('=') {
        Some((flag, value)) => (format!("{flag}="), value),
        None => (String::new(), word),
    };
    let bare = value.trim_matches(['"', '\'']);
    let path = std::path::Path::new(bare);
    let is_path = path.is_absolute() || bare.starts_with('~') || bare.contains('\\');
    match path.file_name() {
        Some(name) if is_path => {
            let name = name.to_string_lossy();
            format!("{flag}{}", name.rsplit('\\').next().unwrap_or_default())
        }
        _ => word.into(),
    }
}

fn finite(v: f64) -> Option<f64> {
    Some(v).filter(|v| v.is_finite())
}

/// A number with as many digits as its spread makes sensible.
fn spread(value: f64, sd: Option<f64>) -> String {
    if value == f64::INFINITY {
        return "∞".into();
    }
    figure(value, sd).replace("+-", "±").replace('-', "−")
}

/// A count with its thousands apart.
fn whole(count: f64) -> String {
    let digits = format!("{count:.0}");
    let mut out = String::new();
    for (k, digit) in digits.chars().enumerate() {
        if k > 0 && (digits.len() - k).is_multiple_of(3) {
            // A thin space that does not break.
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7200.0 => format!("{:.1} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

#[cfg(test)]
mod tests;
