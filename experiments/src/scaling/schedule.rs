//! How long recorded work takes on many workers, by playing its schedule.
//!
//! A worker that waits for the end of a round takes other tasks meanwhile, and an idle one takes the task that became
//! ready last, which finishes inner rounds first. The tasks of a round reach the workers by halving, as rayon hands them
//! on: the k-th of w workers begins after ceil(log2 (k + 1)) hops, and the end of the round is seen one hop later. What
//! caches and memory do is not played: tasks last as long as they did on one thread.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use engine::parallel::trace::{Part, Work};

/// Seconds that `work` takes on `workers` workers if the way to another worker takes `hop` seconds.
pub fn makespan(work: &Work, workers: usize, hop: f64) -> f64 {
    let mut play = Play {
        strands: vec![Strand { work, next: 0, parent: None, waiting: 0 }],
        ready: Vec::new(),
        events: BinaryHeap::new(),
        idle: workers.max(1) - 1,
        workers: workers.max(1),
        hop: if workers > 1 { hop } else { 0.0 },
    };
    play.go_on(0, 0.0);
    let mut end = 0.0_f64;
    while let Some(Reverse((Time(now), event))) = play.events.pop() {
        end = end.max(now);
        match event {
            Event::Ready(strand) => play.ready.push(strand),
            Event::Done(strand) => play.go_on(strand, now),
        }
        // Tasks that become ready at the same time are all there before the first is taken.
        if play.events.peek().is_some_and(|Reverse((Time(next), _))| *next <= now) {
            continue;
        }
        while play.idle > 0 {
            let Some(strand) = play.ready.pop() else { break };
            play.idle -= 1;
            play.go_on(strand, now);
        }
    }
    end
}

/// A task that has begun, or may begin.
struct Strand<'a> {
    work: &'a Work,
    /// The part that comes next.
    next: usize,
    parent: Option<usize>,
    /// Tasks of its round that are not done.
    waiting: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Done(usize),
    /// In the order of decreasing number, so that the first task of a round lies on top.
    Ready(usize),
}

#[derive(Clone, Copy, PartialEq)]
struct Time(f64);
impl Eq for Time {}
impl PartialOrd for Time {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Time {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

struct Play<'a> {
    strands: Vec<Strand<'a>>,
    /// Those that wait for a worker, the one that is taken first at the end.
    ready: Vec<usize>,
    events: BinaryHeap<Reverse<(Time, Event)>>,
    idle: usize,
    workers: usize,
    hop: f64,
}

impl Play<'_> {
    fn at(&mut self, time: f64, event: Event) {
        self.events.push(Reverse((Time(time), event)));
    }

    /// A worker is at the next part of a strand.
    fn go_on(&mut self, strand: usize, now: f64) {
        let Strand { work, next, parent, .. } = self.strands[strand];
        self.strands[strand].next += 1;
        match work.parts.get(next) {
            Some(Part::Alone(seconds)) => self.at(now + seconds, Event::Done(strand)),
            Some(Part::Round(tasks)) if tasks.is_empty() => self.go_on(strand, now),
            Some(Part::Round(tasks)) => {
                self.strands[strand].waiting = tasks.len();
                self.idle += 1;
                let first = self.strands.len();
                let new = |work| Strand { work, next: 0, parent: Some(strand), waiting: 0 };
                self.strands.extend(tasks.iter().map(new));
                let reached = self.workers.min(tasks.len());
                for k in (0..tasks.len()).rev() {
                    let worker = k * reached / tasks.len();
                    let hops = (worker + 1).next_power_of_two().trailing_zeros();
                    self.at(now + f64::from(hops) * self.hop, Event::Ready(first + k));
                }
            }
            None => {
                self.idle += 1;
                if let Some(parent) = parent {
                    self.strands[parent].waiting -= 1;
                    if self.strands[parent].waiting == 0 {
                        self.at(now + self.hop, Event::Ready(parent));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alone(seconds: f64) -> Work {
        Work::from(vec![Part::Alone(seconds)])
    }

    fn round(tasks: Vec<Work>) -> Work {
        Work::from(vec![Part::Alone(1.0), Part::Round(tasks), Part::Alone(2.0)])
    }

    #[test]
    fn a_round_of_equal_tasks_takes_its_share_of_the_time() {
        let work = round(vec![alone(3.0); 8]);
        for (workers, tasks) in [(1, 8.0), (2, 4.0), (3, 3.0), (4, 2.0), (7, 2.0), (8, 1.0), (100, 1.0)] {
            assert_eq!(makespan(&work, workers, 0.0), 3.0 + 3.0 * tasks, "{workers} workers");
        }
        assert_eq!(makespan(&Work::default(), 4, 1.0), 0.0);
        assert_eq!(makespan(&round(Vec::new()), 4, 1.0), 3.0);
    }

    #[test]
    fn one_worker_needs_all_seconds_and_any_number_at_least_the_span() {
        let inner = || round(vec![alone(0.5), alone(0.25), round(vec![alone(1.0); 3])]);
        let work = round(vec![inner(), alone(7.0), inner(), inner()]);
        assert_eq!(makespan(&work, 1, 0.1), work.seconds());
        assert_eq!(makespan(&work, 1000, 0.0), work.span());
        let mut before = f64::INFINITY;
        for workers in 1..12 {
            let seconds = makespan(&work, workers, 0.0);
            // Graham's bound for schedules without idle workers.
            let most = work.seconds() / workers as f64 + work.span();
            assert!(seconds >= work.span() && seconds >= work.seconds() / workers as f64 - 1e-12);
            assert!(seconds <= most, "{workers}: {seconds} of {most}");
            assert!(seconds <= before);
            before = seconds;
        }
    }

    #[test]
    fn a_task_waits_for_the_way_to_its_worker() {
        // Four workers: the last begins after two hops, and its end is seen after one more.
        let work = round(vec![alone(3.0); 4]);
        assert_eq!(makespan(&work, 4, 0.25), 3.0 + 3.0 + 0.75);
        // Nobody is asked where there is nobody.
        assert_eq!(makespan(&work, 1, 0.25), 15.0);
    }
}
