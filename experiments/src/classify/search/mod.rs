//! A seeded random search by successive halving (Jamieson and Talwalkar 2016, arXiv 1502.07943), judged by
//! validation figures alone. Test figures are neither logged nor looked at.
//!
//! Round 1 trains every trial on the first two splits; round 2 trains the best quarter on all splits;
//! round 3 gives the best four of those two more initialisations on every split. A trial's figure is the mean
//! over its trainings, and only trials of the last round that was held can win. With 100 trials on ten
//! splits that is 480 trainings instead of 1000, and the winner's figure rests on 30 instead of 10.
//!
//! On graphs of more than 1000 nodes one training says more, because hundreds of nodes validate it, and costs
//! more: there round 1 takes one split, round 2 three, and round 3 all of them once, 178 trainings. Six in
//! ten of round 1's trials are not drawn from the whole space but near the best ones so far (`refine`), in three
//! generations.

mod data;
mod refine;
mod space;
mod trainings;

use std::time::{Duration, Instant};

use models::gnn::Dataset;
use models::gnn::space::AMPLE;
use models::gnn::training::train::{TrainError, fit};
use serde::{Deserialize, Serialize};

use self::data::SearchData;
use self::trainings::{Key, Training};
use super::sources::{inputs, load_again};
use super::{Context, GraphConfig};
use crate::config::{load_exact, to_plain_toml, to_toml};
use crate::datasets::Sourced;
use crate::run::error::CliError;
use crate::run::interrupt::Interrupt;
use crate::run::{Place, RunFolder, jobs, rows, sha256};

/// Splits of rounds 1 and 2, initialisations for each split in round 3, and how many tenths of the trials are
/// drawn; the others are refined.
struct Rounds {
    first: usize,
    second: usize,
    initialisations: usize,
    drawn: u64,
}
/// On small graphs.
const NOISY: Rounds = Rounds { first: 2, second: usize::MAX, initialisations: 3, drawn: 10 };
/// On graphs of more than [`AMPLE`] nodes.
const STEADY: Rounds = Rounds { first: 1, second: 3, initialisations: 1, drawn: 4 };
/// Most trials of a search: more are a slip.
pub const MOST_TRIALS: u64 = 10_000;
/// Refined trials begin at one of so many, the best before their generation.
const PARENTS: usize = 5;
/// Generations of refined trials.
const GENERATIONS: u64 = 3;
/// Round 2 keeps one trial in so many.
const KEEP: usize = 4;
/// Trials of round 3.
const FINALISTS: usize = 4;
/// Time between saves.
const PAUSE: Duration = Duration::from_secs(5);
/// What was asked for.
const PLAN: &str = "plan.toml";
/// What the folder of a search holds.
pub(super) const TRIALS: &str = "trials of a search of graph";

/// What a search is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchRequest {
    /// Number of trials.
    pub trials: u64,
    /// Settings that no trial changes, as `model.kernel`: what the command line sets.
    pub fixed: Vec<String>,
}

/// A request as plan.toml has it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    trials: u64,
    /// Older files do not say: they had nothing fixed.
    #[serde(default)]
    fixed: Vec<String>,
    /// Sum over the settings of the trials that are drawn at first; older files do not say.
    #[serde(default)]
    drawn: String,
}

impl Plan {
    fn new(request: &SearchRequest, settings: &[GraphConfig]) -> Result<Self, CliError> {
        let text: String = settings.iter().map(to_plain_toml).collect::<Result<_, _>>()?;
        let SearchRequest { trials, fixed } = request.clone();
        Ok(Self { trials, fixed, drawn: sha256(text.as_bytes()) })
    }
}

/// A search in its folder.
pub struct Search {
    folder: RunFolder,
    base: GraphConfig,
    request: SearchRequest,
    source: Sourced,
    graphs: SearchData,
    /// Settings of the trials that are known so far.
    settings: Vec<GraphConfig>,
    /// Finished trainings in the order of their keys.
    done: Vec<Training>,
}

/// An error where a search from `base` would be refused.
pub(super) fn check(base: &GraphConfig, request: &SearchRequest, data: &Dataset) -> Result<(), CliError> {
    check_trials(request.trials, "--search")?;
    prepared(base, request, data).map(drop)
}

/// An error if there are none, or too many; `key` is what holds their number.
pub(super) fn check_trials(trials: u64, key: &str) -> Result<(), CliError> {
    match trials {
        1..=MOST_TRIALS => Ok(()),
        _ => Err(CliError::usage(format!("{key} = {trials} must lie between 1 and {MOST_TRIALS}"))),
    }
}

/// The data of a search, and the trials that are drawn from the whole space.
fn prepared(
    base: &GraphConfig,
    request: &SearchRequest,
    data: &Dataset,
) -> Result<(SearchData, Vec<GraphConfig>), CliError> {
    base.check()?;
    let graphs = SearchData::new(data, base)?;
    let drawn = (request.trials * rounds(&graphs).drawn).div_ceil(10);
    let draw = |trial| space::draw(base, &request.fixed, &graphs.facts, trial);
    let settings: Vec<GraphConfig> = (0..drawn).map(draw).collect::<Result<_, _>>()?;
    settings.iter().try_for_each(GraphConfig::check)?;
    Ok((graphs, settings))
}

fn rounds(graphs: &SearchData) -> Rounds {
    if graphs.facts.nodes > AMPLE { STEADY } else { NOISY }
}

impl Search {
    /// A new search, the first trial of which is `base` itself; nothing is written before data and settings are known
    /// to be sound.
    pub fn create(
        place: &Place,
        base: GraphConfig,
        request: SearchRequest,
        source: Sourced,
    ) -> Result<Self, CliError> {
        let (graphs, settings) = prepared(&base, &request, &source.data)?;
        let folder = RunFolder::create(place, true)?;
        let (plan, config) = (to_plain_toml(&Plan::new(&request, &settings)?)?, to_plain_toml(&base)?);
        folder.begin(TRIALS, &[(PLAN, &plan), ("config.toml", &config)], inputs(source.input.clone()))?;
        Ok(Self { folder, base, request, source, graphs, settings, done: Vec::new() })
    }

    /// Resumes a search: trainings in trainings.csv are not done again.
    pub fn resume(folder: RunFolder, with: &Context<'_>) -> Result<Self, CliError> {
        let base: GraphConfig = load_exact(&folder.file("config.toml"))?;
        let Plan { trials, fixed, drawn } = load_exact(&folder.file(PLAN))?;
        let request = SearchRequest { trials, fixed };
        check_trials(request.trials, &format!("{}: trials", folder.file(PLAN).display()))?;
        let data = load_again(&base.data.name, &folder, with.data_dir)?;
        let source = Sourced { data, input: folder.inputs()?.into_values().next() };
        let (graphs, settings) = prepared(&base, &request, &source.data)?;
        // Figures of trials that another version of the program drew belong to other settings.
        if !drawn.is_empty() && drawn != Plan::new(&request, &settings)?.drawn {
            return Err(CliError::usage(format!(
                "{}: this version of the program draws other trials; start a new search, or resume with the version that began it",
                folder.path().display()
            )));
        }
        let most = (request.trials, graphs.splits.len(), rounds(&graphs).initialisations);
        let done = trainings::read(&folder, most)?;
        Ok(Self { folder, base, request, source, graphs, settings, done })
    }

    /// Runs what is left; writes trainings.csv, search.csv and best.toml, and returns the best settings with the
    /// data.
    pub fn execute(mut self, with: &Context<'_>) -> Result<(GraphConfig, Sourced), CliError> {
        let (n, trials) = (self.graphs.splits.len(), self.request.trials);
        let Rounds { first, second, initialisations, .. } = rounds(&self.graphs);
        let drawn = self.settings.len() as u64;
        for generation in 1..=GENERATIONS {
            let end = drawn + (trials - drawn) * generation / GENERATIONS;
            self.refine(end, first.min(n), with)?;
        }
        let mut kept: Vec<u64> = (0..trials).collect();
        let mut rows = Vec::new();
        let rounds = [
            (trials as usize, first.min(n), 1),
            ((trials as usize).div_ceil(KEEP), second.min(n), 1),
            (FINALISTS, n, initialisations),
        ];
        for (round, (survivors, splits_used, inits)) in rounds.into_iter().enumerate() {
            kept.truncate(survivors);
            self.train(round + 1, &keys(&kept, splits_used, inits), with)?;
            let judged = self.judged(&kept, splits_used, inits);
            kept = judged.iter().map(|j| j.0).collect();
            rows.extend(judged.into_iter().map(|(trial, figure)| (round + 1, trial, figure)));
        }
        self.log(&rows)?;
        let best = self.settings[kept[0] as usize].clone();
        let note = format!(
            "# Trial {} of a search over {}, seed {}: mean validation figure {:.4} over {n} splits, initialisations for each: {initialisations}.\n",
            kept[0],
            trials,
            self.base.seed,
            self.figure(kept[0], n, initialisations),
        );
        let text = note + &to_plain_toml(&best)?;
        self.folder.write("best.toml", text.as_bytes())?;
        Ok((best, self.source))
    }

    /// Trains the trials so far on their first `splits` splits and adds trials up to number `end` near the best.
    fn refine(&mut self, end: u64, splits: usize, with: &Context<'_>) -> Result<(), CliError> {
        let known: Vec<u64> = (0..self.settings.len() as u64).collect();
        let new = self.settings.len() as u64..end;
        if new.is_empty() {
            return Ok(());
        }
        self.train(1, &keys(&known, splits, 1), with)?;
        let parents = self.judged(&known, splits, 1);
        let parents = &parents[..PARENTS.min(parents.len())];
        for (trial, k) in new.zip(0..) {
            let (parent, _) = parents[k % parents.len()];
            let fresh = space::draw(&self.base, &self.request.fixed, &self.graphs.facts, trial)?;
            self.settings.push(refine::cross(&self.settings[parent as usize], &fresh, trial)?);
        }
        Ok(())
    }

    /// Trials with their figures, best first.
    fn judged(&self, trials: &[u64], splits: usize, inits: usize) -> Vec<(u64, f64)> {
        let mut judged: Vec<(u64, f64)> =
            trials.iter().map(|t| (*t, self.figure(*t, splits, inits))).collect();
        // Stable: of equal figures the earlier trial stays ahead.
        judged.sort_by(|a, b| b.1.total_cmp(&a.1));
        judged
    }

    /// The mean validation figure of a trial over its first `splits` splits and `inits` initialisations;
    /// a resumed search knows of later trainings already.
    fn figure(&self, trial: u64, splits: usize, inits: usize) -> f64 {
        let counts = |t: &&Training| t.trial == trial && t.split < splits && t.initialisation < inits;
        let of: Vec<f64> = self.done.iter().filter(counts).map(|t| t.validation).collect();
        models::metrics::mean(&of)
    }

    /// Trains what is wanted and not done, several trainings at a time.
    fn train(&mut self, round: usize, wanted: &[Key], with: &Context<'_>) -> Result<(), CliError> {
        let before = std::mem::take(&mut self.done);
        let this = &*self;
        let (model, data) = (this.base.model.name(), &this.base.data.name);
        let mut saved = Instant::now();
        let save = |done: &[Training]| {
            if saved.elapsed() <= PAUSE {
                return Ok(());
            }
            saved = Instant::now();
            rows::write(&this.folder, done)
        };
        let work = |key: &Key| this.one(*key, with.interrupt);
        let message = |_: &[Training]| format!("search, round {round}: {model} on {data}");
        let (done, outcome) = jobs::run(wanted, before, Training::key, with.quiet, work, save, message);
        self.done = done;
        rows::write(&self.folder, &self.done)?;
        outcome
    }

    fn one(&self, key: Key, interrupt: &Interrupt) -> Result<Training, CliError> {
        let (trial, split, initialisation) = key;
        let config = &self.settings[trial as usize];
        let seed = self.base.training_seed(split, initialisation);
        let settings = (&config.model, &config.train);
        let stop = || interrupt.requested();
        let data = self.graphs.used(config.data.edges);
        let validation =
            match fit(data, &self.graphs.splits[split], settings, self.base.data.metric, seed, &stop) {
                Ok(outcome) => outcome.figures().validation,
                // Settings under which the equation blows up are the worst there are.
                Err(TrainError::Diverged(_)) => 0.0,
                Err(e @ TrainError::Stopped) => return Err(CliError::Interrupted(e.to_string())),
                Err(e) => return Err(CliError::usage(e)),
            };
        Ok(Training { trial, split, initialisation, validation })
    }

    /// search.csv: every round's trials with their figures, best first, and what each changes.
    fn log(&self, rows: &[(usize, u64, f64)]) -> Result<(), CliError> {
        let mut log = String::from("round,trial,validation,settings\n");
        for (round, trial, figure) in rows {
            let text = to_toml(&self.settings[*trial as usize], &self.base)?;
            let changed: Vec<&str> = (text.lines())
                .filter(|l| l.contains('=') && !l.ends_with("# default"))
                .map(str::trim)
                .collect();
            log += &format!("{round},{trial},{figure},{}\n", changed.join("; "));
        }
        self.folder.write("search.csv", log.as_bytes())
    }
}

/// The trainings of some trials on the first `splits` splits, with `inits` initialisations each.
fn keys(trials: &[u64], splits: usize, inits: usize) -> Vec<Key> {
    let of = |trial: u64| (0..splits).flat_map(move |s| (0..inits).map(move |i| (trial, s, i)));
    trials.iter().flat_map(|trial| of(*trial)).collect()
}
