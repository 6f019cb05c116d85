//! What a computation would be on many threads, recorded on one: how long each task of each round took.
//!
//! A round is what [`super::Tasks::each`] and its like start: tasks that may run at the same time, and an end that waits
//! for all of them. While a thread records, its rounds run on it alone, task by task, with the same results.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Instant;

/// What a task did, in its order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Work {
    /// Stretches and rounds.
    pub parts: Vec<Part>,
    /// The op of each part, where it is known.
    ops: Vec<&'static str>,
}

/// A part of a task.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Seconds of the task's own.
    Alone(f64),
    /// Tasks that may run at the same time.
    Round(Vec<Work>),
}

impl From<Vec<Part>> for Work {
    fn from(parts: Vec<Part>) -> Self {
        Self { parts, ops: Vec::new() }
    }
}

impl Work {
    fn push(&mut self, op: &'static str, part: Part) {
        self.parts.push(part);
        self.ops.push(op);
    }

    /// Seconds of all stretches: what one thread needs.
    pub fn seconds(&self) -> f64 {
        let part = |part: &Part| match part {
            Part::Alone(seconds) => *seconds,
            Part::Round(tasks) => tasks.iter().map(Work::seconds).sum(),
        };
        self.parts.iter().map(part).sum()
    }

    /// Seconds on as many threads as there are tasks, if rounds cost nothing.
    pub fn span(&self) -> f64 {
        let part = |part: &Part| match part {
            Part::Alone(seconds) => *seconds,
            Part::Round(tasks) => tasks.iter().map(Work::span).fold(0.0, f64::max),
        };
        self.parts.iter().map(part).sum()
    }

    /// The seconds of [`Self::span`] by the op that they belong to, the most first.
    pub fn chain(&self) -> Vec<(&'static str, f64)> {
        let mut of: BTreeMap<&'static str, f64> = BTreeMap::new();
        self.add_chain(&mut of);
        let mut of: Vec<_> = of.into_iter().collect();
        of.sort_by(|a, b| b.1.total_cmp(&a.1));
        of
    }

    fn add_chain(&self, of: &mut BTreeMap<&'static str, f64>) {
        for (k, part) in self.parts.iter().enumerate() {
            match part {
                Part::Alone(seconds) => {
                    *of.entry(self.ops.get(k).copied().unwrap_or("")).or_default() += seconds
                }
                Part::Round(tasks) => {
                    let longest = tasks.iter().max_by(|a, b| a.span().total_cmp(&b.span()));
                    longest.into_iter().for_each(|task| task.add_chain(of));
                }
            }
        }
    }

    /// The same with the shortest time of each stretch, of works that did the same: other programs disturb some.
    /// None where they did not.
    pub fn least(works: &[Self]) -> Option<Self> {
        let (first, rest) = works.split_first()?;
        let same = rest.iter().all(|w| w.parts.len() == first.parts.len());
        let part = |k: usize| match &first.parts[k] {
            Part::Alone(seconds) => rest
                .iter()
                .try_fold(*seconds, |least, work| match work.parts[k] {
                    Part::Alone(seconds) => Some(least.min(seconds)),
                    Part::Round(_) => None,
                })
                .map(Part::Alone),
            Part::Round(tasks) => {
                let rounds: Option<Vec<&Vec<Self>>> = works
                    .iter()
                    .map(|work| match &work.parts[k] {
                        Part::Round(own) if own.len() == tasks.len() => Some(own),
                        _ => None,
                    })
                    .collect();
                let rounds = rounds?;
                let task =
                    |i: usize| Self::least(&rounds.iter().map(|round| round[i].clone()).collect::<Vec<_>>());
                (0..tasks.len()).map(task).collect::<Option<Vec<_>>>().map(Part::Round)
            }
        };
        let parts = if same { (0..first.parts.len()).map(part).collect::<Option<Vec<_>>>() } else { None };
        parts.map(|parts| Self { parts, ops: first.ops.clone() })
    }

    /// Number of rounds within.
    pub fn rounds(&self) -> usize {
        let part = |part: &Part| match part {
            Part::Alone(_) => 0,
            Part::Round(tasks) => 1 + tasks.iter().map(Work::rounds).sum::<usize>(),
        };
        self.parts.iter().map(part).sum()
    }
}

struct Recorder {
    /// The op at work.
    op: &'static str,
    /// The tasks that are running now, the innermost last.
    open: Vec<Work>,
    since: Instant,
}

impl Recorder {
    /// The time since the last look belongs to the innermost task.
    fn look(&mut self) {
        let seconds = self.since.elapsed().as_secs_f64();
        if let Some(work) = self.open.last_mut() {
            work.push(self.op, Part::Alone(seconds));
        }
        self.since = Instant::now();
    }
}

thread_local! {
    static RECORDER: RefCell<Option<Recorder>> = const { RefCell::new(None) };
}

fn with<R>(f: impl FnOnce(&mut Recorder) -> R) -> Option<R> {
    RECORDER.with_borrow_mut(|recorder| recorder.as_mut().map(f))
}

/// Whether this thread records.
pub(super) fn recording() -> bool {
    RECORDER.with_borrow(Option::is_some)
}

/// Runs `f` on this thread alone, and tells what it did.
pub fn record<R>(f: impl FnOnce() -> R) -> (R, Work) {
    /// Ends the recording, also if `f` panics.
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            RECORDER.set(None);
        }
    }
    RECORDER.set(Some(Recorder { op: "", open: vec![Work::default()], since: Instant::now() }));
    let _end = End;
    let result = f();
    let work = with(|recorder| {
        recorder.look();
        recorder.open.pop()
    });
    (result, work.flatten().unwrap_or_default())
}

/// Runs `f`; what is recorded meanwhile belongs to an op.
pub fn within<R>(op: &'static str, f: impl FnOnce() -> R) -> R {
    if !recording() {
        return f();
    }
    /// The op before, which comes back also if `f` panics.
    struct Before(&'static str);
    impl Drop for Before {
        fn drop(&mut self) {
            change(self.0);
        }
    }
    // The time until now is not the op's.
    fn change(op: &'static str) -> &'static str {
        let before = with(|recorder| {
            recorder.look();
            std::mem::replace(&mut recorder.op, op)
        });
        before.unwrap_or_default()
    }
    let _before = Before(change(op));
    f()
}

/// A round that is being recorded.
pub(super) struct Round(Vec<Work>);

impl Round {
    pub(super) fn begin() -> Self {
        with(Recorder::look);
        Self(Vec::new())
    }

    pub(super) fn task<R>(&mut self, f: impl FnOnce() -> R) -> R {
        with(|recorder| {
            recorder.open.push(Work::default());
            recorder.since = Instant::now();
        });
        let result = f();
        let work = with(|recorder| {
            recorder.look();
            recorder.open.pop()
        });
        self.0.extend(work.flatten());
        result
    }

    pub(super) fn end(self) {
        with(|recorder| {
            if let Some(work) = recorder.open.last_mut() {
                work.push(recorder.op, Part::Round(self.0));
            }
            recorder.since = Instant::now();
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rayon::prelude::*;

    use super::*;
    use crate::parallel::{Tasks, for_chunks, join, map};

    fn wait(ms: u64) {
        std::thread::sleep(Duration::from_millis(ms));
    }

    #[test]
    fn rounds_within_rounds_are_told_with_their_times() {
        let (sum, work) = record(|| {
            wait(2);
            let sum: usize = map(3, |i| {
                wait(4);
                map(2, |k| i + k).into_iter().sum::<usize>()
            })
            .into_iter()
            .sum();
            join(|| wait(1), || wait(6));
            sum
        });
        assert_eq!(sum, 9);
        let [Part::Alone(first), Part::Round(tasks), Part::Alone(_), Part::Round(pair), Part::Alone(last)] =
            &work.parts[..]
        else {
            panic!("{work:?}")
        };
        assert!(*first >= 0.002 && *last < 0.002);
        assert_eq!((tasks.len(), pair.len(), work.rounds()), (3, 2, 5));
        assert!(tasks.iter().all(|t| t.seconds() >= 0.004 && t.rounds() == 1));
        assert!(work.seconds() >= 0.021, "all stretches");
        assert!(work.span() >= 0.012 && work.span() < work.seconds() - 0.008, "the longest of each round");
    }

    #[test]
    fn the_shortest_of_each_stretch_is_taken_where_works_did_the_same() {
        let alone = |seconds| Work::from(vec![Part::Alone(seconds)]);
        let work = |a, b, c| Work::from(vec![Part::Alone(a), Part::Round(vec![alone(b), alone(c)])]);
        let least = Work::least(&[work(1.0, 5.0, 3.0), work(2.0, 4.0, 4.0), work(3.0, 6.0, 2.0)]);
        assert_eq!(least, Some(work(1.0, 4.0, 2.0)));
        assert_eq!(Work::least(&[work(1.0, 2.0, 3.0), alone(1.0)]), None);
        assert_eq!(Work::least(&[]), None);
    }

    #[test]
    fn the_longest_chain_is_told_by_op() {
        let (_, work) = record(|| {
            wait(1);
            map(2, |i| within(["short", "long"][i], || wait(1 + 60 * i as u64)));
            within("long", || join(|| wait(1), || within("inner", || wait(30))));
            wait(1);
        });
        let chain = work.chain();
        // Sleeps of a busy machine may be tens of times as long as they should be.
        assert_eq!(chain.iter().map(|(op, _)| *op).collect::<Vec<_>>(), ["long", "inner", ""]);
        let (total, span): (f64, f64) = (chain.iter().map(|(_, seconds)| seconds).sum(), work.span());
        assert!((total - span).abs() < 1e-9 * span, "{total} of {span}");
        assert!(chain[0].1 >= 0.061 && chain[1].1 >= 0.03 && chain[2].1 >= 0.002);
        assert_eq!(within("not recorded", || 3), 3);
    }

    #[test]
    fn what_is_recorded_has_the_same_results_in_the_same_order() {
        let compute = || {
            let mut x = vec![0_usize; 100];
            for_chunks(&mut x, 7, |i, c| c.fill(i));
            x.par_chunks_mut(9).each(|i, c| c[0] += i);
            let y = x.par_iter().tasks(|i, x| i * x);
            let z: Result<(), usize> =
                x.par_iter().try_each(|i, x| if i > 20 && *x % 5 == 0 { Err(i) } else { Ok(()) });
            (x, y, z)
        };
        let plain = compute();
        assert_eq!(record(compute).0, plain);
        assert!(plain.2.is_err());
        // Nothing is left behind.
        assert!(!recording() && with(|_| ()).is_none());
        assert!(std::panic::catch_unwind(|| record(|| panic!("no luck"))).is_err());
        assert!(!recording());
    }
}
