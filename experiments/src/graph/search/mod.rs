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

mod refine;
mod space;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use models::graph::train::{TrainError, fit};
use models::graph::{Dataset, Split};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{DataChoice, Edges, GraphConfig, splits};
use crate::config::{load_exact, to_toml};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::run_folder::RunFolder;

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
/// On graphs of more than [`space::AMPLE`] nodes.
const STEADY: Rounds = Rounds { first: 1, second: 3, initialisations: 1, drawn: 4 };
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
/// Columns of trainings.csv.
const COLUMNS: &str = "trial,split,initialisation,validation";

/// One training of the search: (trial, split, initialisation).
type Place = (u64, usize, usize);

/// What a search was asked for.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    trials: u64,
}

/// A search in its folder.
pub struct Search {
    folder: RunFolder,
    base: GraphConfig,
    trials: u64,
    /// Settings of the trials that are known so far.
    settings: Vec<GraphConfig>,
    done: Vec<(Place, f64)>,
}

impl Search {
    /// A new search of `trials` trials, the first of which is `base` itself.
    pub fn create(folder: RunFolder, base: GraphConfig, trials: u64) -> Result<Self, Failure> {
        folder.write("config.toml", to_toml(&base, &base)?.replace("  # default", "").as_bytes())?;
        folder.write("plan.toml", format!("trials = {trials}\n").as_bytes())?;
        Ok(Self { folder, base, trials, settings: Vec::new(), done: Vec::new() })
    }

    /// Goes on with a search: trainings in trainings.csv are not done again.
    pub fn resume(folder: RunFolder) -> Result<Self, Failure> {
        let base: GraphConfig = load_exact(&folder.file("config.toml"))?;
        base.check()?;
        let Plan { trials } = load_exact(&folder.file("plan.toml"))?;
        let mut done = Vec::new();
        if folder.file("trainings.csv").exists() {
            let text = String::from_utf8_lossy(&folder.read("trainings.csv")?).into_owned();
            let rows: Option<Vec<_>> = text.lines().skip(1).map(parse).collect();
            let whole = text.lines().next() == Some(COLUMNS);
            done = rows.filter(|_| whole).ok_or_else(|| {
                let file = folder.file("trainings.csv");
                Failure::usage(format!("{}: damaged; start a new search", file.display()))
            })?;
        }
        Ok(Self { folder, base, trials, settings: Vec::new(), done })
    }

    /// The data set that is searched on.
    pub fn data_name(&self) -> &str {
        &self.base.data.name
    }

    /// Runs what is left; writes trainings.csv, search.csv and best.toml, and returns the best settings.
    pub fn execute(
        mut self,
        data: Dataset,
        quiet: bool,
        interrupt: &Interrupt,
    ) -> Result<GraphConfig, Failure> {
        let graphs = Graphs::new(&data, &self.base.data)?;
        let n = graphs.splits.len();
        let Rounds { first, second, initialisations, drawn } =
            if graphs.space.nodes > space::AMPLE { STEADY } else { NOISY };
        let drawn = (self.trials * drawn).div_ceil(10);
        self.settings = (0..drawn).map(|trial| space::draw(&self.base, &graphs.space, trial)).collect();
        for generation in 1..=GENERATIONS {
            let end = drawn + (self.trials - drawn) * generation / GENERATIONS;
            self.refine(&graphs, end, first.min(n), quiet, interrupt)?;
        }
        let mut kept: Vec<u64> = (0..self.trials).collect();
        let mut rows = Vec::new();
        let rounds = [
            (self.trials as usize, first.min(n), 1),
            ((self.trials as usize).div_ceil(KEEP), second.min(n), 1),
            (FINALISTS, n, initialisations),
        ];
        for (round, (survivors, splits_used, inits)) in rounds.into_iter().enumerate() {
            kept.truncate(survivors);
            self.train(&graphs, round + 1, &places(&kept, splits_used, inits), quiet, interrupt)?;
            let judged = self.judged(&kept, splits_used, inits);
            kept = judged.iter().map(|j| j.0).collect();
            rows.extend(judged.into_iter().map(|(trial, figure)| (round + 1, trial, figure)));
        }
        self.log(&rows)?;
        let best = self.settings[kept[0] as usize].clone();
        let note = format!(
            "# Trial {} of a search over {}, seed {}: mean validation figure {:.4} over {n} splits, initialisations for each: {initialisations}.\n",
            kept[0],
            self.trials,
            self.base.seed,
            self.figure(kept[0], n, initialisations),
        );
        let text = note + &to_toml(&best, &best)?.replace("  # default", "");
        self.folder.write("best.toml", text.as_bytes())?;
        Ok(best)
    }

    /// Trains the trials so far on their first `splits` splits and adds trials up to number `end` near the best.
    fn refine(
        &mut self,
        graphs: &Graphs,
        end: u64,
        splits: usize,
        quiet: bool,
        interrupt: &Interrupt,
    ) -> Result<(), Failure> {
        let known: Vec<u64> = (0..self.settings.len() as u64).collect();
        let new = self.settings.len() as u64..end;
        if new.is_empty() {
            return Ok(());
        }
        self.train(graphs, 1, &places(&known, splits, 1), quiet, interrupt)?;
        let parents = self.judged(&known, splits, 1);
        let parents = &parents[..PARENTS.min(parents.len())];
        for (trial, k) in new.zip(0..) {
            let (parent, _) = parents[k % parents.len()];
            let fresh = space::draw(&self.base, &graphs.space, trial);
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
        let counts = |(t, s, i): Place| t == trial && s < splits && i < inits;
        let of: Vec<f64> = self.done.iter().filter(|(place, _)| counts(*place)).map(|(_, v)| *v).collect();
        models::metrics::mean(&of)
    }

    /// Trains what is wanted and not done, several trainings at a time.
    fn train(
        &mut self,
        graphs: &Graphs,
        round: usize,
        wanted: &[Place],
        quiet: bool,
        interrupt: &Interrupt,
    ) -> Result<(), Failure> {
        let had: std::collections::HashSet<Place> = self.done.iter().map(|(place, _)| *place).collect();
        let left: Vec<Place> = wanted.iter().filter(|place| !had.contains(place)).copied().collect();
        let already = (wanted.len() - left.len()) as u64;
        let progress = Progress::new(already, wanted.len() as u64, quiet);
        let shared = Mutex::new((std::mem::take(&mut self.done), progress, Instant::now(), already));
        let this = &*self;
        let outcome = left.par_iter().try_for_each(|place| {
            let validation = this.one(graphs, *place, interrupt)?;
            let Ok(mut shared) = shared.lock() else {
                return Err(Failure::Failed("another training failed".into()));
            };
            let (done, progress, saved, count) = &mut *shared;
            done.push((*place, validation));
            *count += 1;
            progress.set(*count, || {
                let (model, data) = (&this.base.model.name, &this.base.data.name);
                format!("search, round {round}: {model} on {data}")
            });
            if saved.elapsed() > PAUSE {
                *saved = Instant::now();
                this.save(done)?;
            }
            Ok(())
        });
        let (done, progress, ..) =
            shared.into_inner().map_err(|_| Failure::Failed("a training failed".into()))?;
        progress.finish();
        self.done = done;
        // Sums over trainings must not depend on which of them ended first.
        self.done.sort_by_key(|(place, _)| *place);
        self.save(&self.done)?;
        outcome
    }

    fn one(
        &self,
        graphs: &Graphs,
        (trial, split, initialisation): Place,
        interrupt: &Interrupt,
    ) -> Result<f64, Failure> {
        let config = &self.settings[trial as usize];
        config.check()?;
        let seed = self.base.training_seed(split, initialisation);
        let settings = (&config.model, &config.train);
        let stop = || interrupt.requested();
        let data = graphs.used(config.data.edges);
        match fit(data, &graphs.splits[split], settings, self.base.data.metric, seed, &stop) {
            Ok(outcome) => Ok(outcome.figures().validation),
            // Settings under which the equation blows up are the worst there are.
            Err(TrainError::Diverged(_)) => Ok(0.0),
            Err(TrainError::Stopped) => Err(Failure::Interrupted(format!(
                "stopped; finished trainings are saved, go on with: graph --resume {}",
                self.folder.path().parent().unwrap_or(self.folder.path()).display()
            ))),
            Err(e) => Err(Failure::usage(e)),
        }
    }

    fn save(&self, done: &[(Place, f64)]) -> Result<(), Failure> {
        let mut sorted = done.to_vec();
        sorted.sort_by_key(|(place, _)| *place);
        let line = |((trial, split, init), v): &(Place, f64)| format!("{trial},{split},{init},{v}\n");
        let lines: String = sorted.iter().map(line).collect();
        self.folder.write("trainings.csv", format!("{COLUMNS}\n{lines}").as_bytes())
    }

    /// search.csv: every round's trials with their figures, best first, and what each changes.
    fn log(&self, rows: &[(usize, u64, f64)]) -> Result<(), Failure> {
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

/// The graph with its edges used in every way that trials may choose, and its splits.
struct Graphs {
    uses: Vec<(Edges, Dataset)>,
    splits: Vec<Split>,
    space: space::Graph,
}

impl Graphs {
    fn new(data: &Dataset, choice: &DataChoice) -> Result<Self, Failure> {
        let directed = data.raw_edges.is_some();
        let mut uses = Vec::new();
        let (own, splits_of_own) = splits(data.clone(), choice)?;
        let scarce = splits_of_own.iter().all(|s| 10 * s.train.len() < own.nodes());
        let space = space::Graph { nodes: own.nodes(), edges: own.edges.len(), directed, scarce };
        for edges in [Edges::Undirected, Edges::Directed, Edges::Reversed] {
            if directed || edges == Edges::Undirected {
                let choice = DataChoice { edges, ..choice.clone() };
                uses.push((edges, splits(data.clone(), &choice)?.0));
            }
        }
        Ok(Self { uses, splits: splits_of_own, space })
    }

    fn used(&self, edges: Edges) -> &Dataset {
        let found = self.uses.iter().find(|(e, _)| *e == edges);
        &found.unwrap_or(&self.uses[0]).1
    }
}

/// The trainings of some trials on the first `splits` splits, with `inits` initialisations each.
fn places(trials: &[u64], splits: usize, inits: usize) -> Vec<Place> {
    let of = |trial: u64| (0..splits).flat_map(move |s| (0..inits).map(move |i| (trial, s, i)));
    trials.iter().flat_map(|trial| of(*trial)).collect()
}

fn parse(line: &str) -> Option<(Place, f64)> {
    let v: Vec<&str> = line.split(',').collect();
    let [trial, split, init, figure] = v[..] else { return None };
    Some(((trial.parse().ok()?, split.parse().ok()?, init.parse().ok()?), figure.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_training_reads_back() {
        assert_eq!(parse("3,1,2,0.875"), Some(((3, 1, 2), 0.875)));
        assert_eq!(parse("3,1,0.875"), None);
    }
}
