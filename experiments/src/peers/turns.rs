//! Turns: ours and each peer, a few steps at a time, one after the other.

use std::time::{Duration, Instant};

use engine::parallel;

use super::process::Peer;
use crate::workloads::Step;

/// Turns of each; every other order is another's first.
const TURNS: u32 = 5;
/// Between turns, so that threads that still wait actively for work have gone to sleep.
const REST: Duration = Duration::from_millis(30);
/// The least time spent on untimed steps of ours.
const WARM_UP: Duration = Duration::from_millis(300);
/// The longest that a turn of a peer may take.
const LIMIT: Duration = Duration::from_secs(300);

/// Times about `reps` steps of ours and of each peer; gives our milliseconds, and the peers that answered to the end.
/// One that does not is handed to `lost` with the reason.
pub fn take(
    mut step: Step,
    mut peers: Vec<Peer>,
    reps: u32,
    lost: impl Fn(&Peer, &str),
) -> (Vec<f64>, Vec<Peer>) {
    let steps = reps.div_ceil(TURNS);
    let mut ours = Vec::new();
    parallel::spin_workers(|| {
        let begun = Instant::now();
        while begun.elapsed() < WARM_UP {
            step();
        }
    });
    for turn in 0..TURNS {
        // The order turns by one each time; ours is behind the last peer.
        let count = peers.len() + 1;
        let mut gone = Vec::new();
        for k in (0..count).map(|k| (k + turn as usize) % count) {
            std::thread::sleep(REST);
            match peers.get_mut(k) {
                Some(peer) => {
                    if let Err(reason) = peer.time(steps, LIMIT) {
                        lost(peer, &reason);
                        gone.push(k);
                    }
                }
                None => parallel::spin_workers(|| ours.extend(time(&mut step, steps))),
            }
        }
        gone.sort_unstable();
        gone.into_iter().rev().for_each(|k| drop(peers.remove(k)));
    }
    (ours, peers)
}

/// Milliseconds of some steps, after one that is not timed: others have had the caches in the meantime.
fn time(step: &mut Step, steps: u32) -> Vec<f64> {
    step();
    (0..steps)
        .map(|_| {
            let start = Instant::now();
            step();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect()
}
