//! Workers that share their core with another program sit out.
//!
//! A round ends with its last task. A worker whose core another program wants as well loses it for a time slice of
//! some milliseconds, in the middle of a task, and all others wait: a few such workers cost more than they do. Linux
//! counts the time that a thread was ready and had no core. A worker that has waited for a good part of the last
//! moments sleeps for a while, which gives the other program a core of its own, and then tries again.
//!
//! The calling thread cannot sit out. The worker after it looks at its time too, and sleeps in its place, so that the
//! system can move the other program there; if that was of no use, as where that program may not move, it does not do
//! so again for some time.
//!
//! No more than a quarter of the workers sit out. Where more cores than that are shared, as by a second run with as many
//! threads, half of each core is more than all of a few: then nobody sits out for some time.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time over which waiting is counted.
const WINDOW: Duration = Duration::from_millis(20);
/// Share of that time without a core from which on a core counts as shared. A program that runs all the time takes a
/// half.
const CROWDED: f64 = 0.2;
/// How long a worker sits out; twice as long each time that the core is still shared after it.
const REST: Duration = Duration::from_millis(50);
const LONGEST_REST: Duration = Duration::from_secs(1);
/// For how long nobody sits out for the caller after that was of no use, or at all where too many cores are shared.
const NO_USE: Duration = Duration::from_secs(10);

/// How long a call waits for a worker that is late, and how often at most: one whose core another program has comes
/// after a time slice or two, and only a worker that has come can sit out.
const PATIENCE: Duration = Duration::from_millis(10);
const PATIENT_EVERY: Duration = Duration::from_millis(200);

static ON: AtomicBool = AtomicBool::new(false);
static LAST_PATIENCE: Mutex<Option<Instant>> = Mutex::new(None);

/// How much longer to wait for workers that are late.
pub(super) fn patience() -> Duration {
    if !ON.load(Ordering::Relaxed) {
        return Duration::ZERO;
    }
    let mut last = LAST_PATIENCE.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    if last.is_some_and(|last| now - last < PATIENT_EVERY) {
        return Duration::ZERO;
    }
    *last = Some(now);
    PATIENCE
}

/// Whether workers sit out where they share their core with other programs (at first they do not). For a pool with no
/// more workers than cores: its own workers are no other program. On systems other than Linux this has no effect.
pub fn sit_out(on: bool) {
    ON.store(on, Ordering::Relaxed);
}

/// What Linux tells about the time that a thread waited for a core.
#[derive(Clone)]
pub(super) struct Waiting(Arc<dyn Fn() -> Option<Duration> + Send + Sync>);

thread_local! {
    /// The clock of this thread, opened at its first use.
    static OWN: RefCell<Option<Option<Waiting>>> = const { RefCell::new(None) };
    static WATCH: RefCell<Watch> = const { RefCell::new(Watch::new()) };
}

impl Waiting {
    /// That of the calling thread; none if workers do not sit out, or the system does not tell.
    pub(super) fn own() -> Option<Self> {
        if !ON.load(Ordering::Relaxed) {
            return None;
        }
        OWN.with_borrow_mut(|own| own.get_or_insert_with(Self::open).clone())
    }

    #[cfg(target_os = "linux")]
    fn open() -> Option<Self> {
        use std::os::unix::fs::FileExt;
        // This name is the calling thread's, whoever reads the file that it stands for.
        let thread = std::fs::read_link("/proc/thread-self").ok()?;
        let file = std::fs::File::open(std::path::Path::new("/proc").join(thread).join("schedstat")).ok()?;
        Some(Self(Arc::new(move || {
            let mut text = [0; 64];
            let n = file.read_at(&mut text, 0).ok()?;
            // Nanoseconds on a core, nanoseconds of waiting for one, time slices.
            let waited = std::str::from_utf8(&text[..n]).ok()?.split_ascii_whitespace().nth(1)?;
            Some(Duration::from_nanos(waited.parse().ok()?))
        })))
    }

    #[cfg(not(target_os = "linux"))]
    fn open() -> Option<Self> {
        None
    }

    fn get(&self) -> Option<Duration> {
        (self.0)()
    }
}

/// What a worker has seen.
struct Watch {
    /// The beginning of the window, and what had been waited by then: by this thread and by the caller.
    since: Option<(Instant, [Duration; 2])>,
    /// Whose clock the second one is; 0 if nobody's.
    caller: usize,
    /// The end of a rest that has begun.
    until: Option<Instant>,
    rest: Duration,
    /// Until when nobody sits out for the caller.
    no_use: Option<Instant>,
}

impl Watch {
    const fn new() -> Self {
        Self { since: None, caller: 0, until: None, rest: REST, no_use: None }
    }

    /// How long to sit out from `now` on, given what has been waited; None from the clocks if one cannot be read.
    fn look(
        &mut self,
        now: Instant,
        caller: usize,
        waited: impl Fn() -> Option<[Duration; 2]>,
    ) -> Option<Duration> {
        if let Some(until) = self.until.filter(|until| *until > now) {
            return Some(until - now);
        }
        let rested = self.until.take().is_some();
        if self.caller != caller {
            (self.caller, self.since) = (caller, None);
        }
        let Some((since, before)) = self.since else {
            self.since = waited().map(|waited| (now, waited));
            return None;
        };
        let elapsed = now - since;
        if elapsed < WINDOW {
            return None;
        }
        let after = waited();
        self.since = after.map(|after| (now, after));
        let after = after?;
        let crowded =
            |k: usize| after[k].saturating_sub(before[k]).as_secs_f64() > CROWDED * elapsed.as_secs_f64();
        if rested {
            // The window was the rest.
            if crowded(1) {
                self.no_use = Some(now + NO_USE);
            }
            return None;
        }
        let for_caller = crowded(1) && self.no_use.is_none_or(|until| until <= now);
        if crowded(0) == for_caller {
            // Neither core is shared, or both are, and there is none for the other program.
            self.rest = REST;
            return None;
        }
        let rest = self.rest;
        (self.until, self.rest) = (Some(now + rest), (2 * rest).min(LONGEST_REST));
        Some(rest)
    }
}

/// Calls that are open, how often one has begun or ended, how many workers sit out, and until when none does because
/// too many would.
struct Calls {
    open: usize,
    changes: u64,
    resting: usize,
    too_many: Option<Instant>,
}

static CALLS: Mutex<Calls> = Mutex::new(Calls { open: 0, changes: 0, resting: 0, too_many: None });
static CHANGED: Condvar = Condvar::new();

/// A call of [`super::spin_workers`].
pub(super) struct Call(());

impl Call {
    /// A call begins, or ends, and with that every rest: the end of a call waits for its workers, and so does the
    /// beginning of another one on the same pool.
    fn change(by: impl Fn(usize) -> usize) {
        let mut calls = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
        (calls.open, calls.changes) = (by(calls.open), calls.changes + 1);
        CHANGED.notify_all();
    }

    pub(super) fn begin() -> Self {
        Self::change(|open| open + 1);
        Self(())
    }

    pub(super) fn end(&self) {
        Self::change(|open| open - 1);
    }
}

impl Calls {
    /// Whether one more of `workers` may sit out at `now`.
    fn may_rest(&mut self, workers: usize, now: Instant) -> bool {
        // A worker that rested would hold up a call inside of another one.
        if self.open != 1 || self.too_many.is_some_and(|until| now < until) {
            return false;
        }
        let room = self.resting < (workers / 4).max(1);
        self.too_many = (!room).then(|| now + NO_USE);
        room
    }
}

/// The calling worker sits out if it should, and the call is not `done`; `caller` is the caller's clock for the worker
/// that looks at it.
pub(super) fn rest_if_crowded(caller: Option<&Waiting>, done: &AtomicBool) {
    let Some(own) = Waiting::own() else { return };
    let (now, id) = (Instant::now(), caller.map_or(0, |clock| Arc::as_ptr(&clock.0).addr()));
    let waited = || Some([own.get()?, caller.map_or(Some(Duration::ZERO), Waiting::get)?]);
    let Some(rest) = WATCH.with_borrow_mut(|watch| watch.look(now, id, waited)) else { return };
    let mut calls = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
    if done.load(Ordering::Relaxed) {
        return;
    }
    if !calls.may_rest(rayon::current_num_threads(), now) {
        // It has not rested.
        return WATCH.with_borrow_mut(|watch| watch.until = None);
    }
    calls.resting += 1;
    let before = calls.changes;
    let waited = CHANGED.wait_timeout_while(calls, rest, |calls| calls.changes == before);
    waited.unwrap_or_else(PoisonError::into_inner).0.resting -= 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a worker does whose core is shared in `own(ms)` and the caller's in `caller(ms)`: the moments (ms) at which
    /// rests begin, and how long they are. Neither waits while `rests(own)`.
    fn play(ms: u64, own: impl Fn(u64) -> bool, caller: impl Fn(u64, bool) -> bool) -> Vec<(u64, u64)> {
        let (mut watch, start, mut rests) = (Watch::new(), Instant::now(), Vec::new());
        let (mut waited, mut until) = ([Duration::ZERO; 2], 0);
        for t in 0..ms {
            let resting = t < until;
            let half = Duration::from_micros(500);
            waited[0] += if own(t) && !resting { half } else { Duration::ZERO };
            waited[1] += if caller(t, resting) { half } else { Duration::ZERO };
            if let (false, Some(rest)) =
                (resting, watch.look(start + Duration::from_millis(t), 1, || Some(waited)))
            {
                until = t + rest.as_millis() as u64;
                rests.push((t, rest.as_millis() as u64));
            }
        }
        rests
    }

    #[test]
    fn a_worker_with_a_core_of_its_own_never_rests() {
        assert_eq!(play(10_000, |_| false, |_, _| false), []);
        // A moment without the core is no crowd: three of 20 ms.
        assert_eq!(play(10_000, |t| t % 20 < 3, |_, _| false), []);
    }

    #[test]
    fn rests_grow_while_a_core_is_shared_and_end_with_that() {
        let rests = play(4000, |t| t < 2000, |_, _| false);
        assert_eq!(
            rests.iter().map(|(_, rest)| *rest).collect::<Vec<_>>(),
            [50, 100, 200, 400, 800, 1000][..rests.len()]
        );
        assert!(rests.len() >= 5 && rests.iter().all(|(t, _)| *t < 2020), "{rests:?}");
        // Between two rests there is a window.
        assert!(rests.windows(2).all(|w| w[1].0 >= w[0].0 + w[0].1 + 20), "{rests:?}");
    }

    #[test]
    fn a_worker_rests_for_the_caller_where_that_helps() {
        // The other program moves away while the worker rests.
        let helped = play(3000, |_| false, |_, resting| !resting);
        assert!(helped.len() > 3, "{helped:?}");
        // It stays with the caller.
        assert_eq!(play(9000, |_| false, |_, _| true).len(), 1);
    }

    #[test]
    fn the_clock_of_another_caller_begins_anew() {
        let (mut watch, start) = (Watch::new(), Instant::now());
        let mut look = |ms, caller, waited| {
            watch.look(start + Duration::from_millis(ms), caller, || waited).map(|rest| rest.as_millis())
        };
        let hours = |n: u64| Some([Duration::ZERO, Duration::from_secs(3600 * n)]);
        assert_eq!(look(0, 1, hours(0)), None);
        assert_eq!(look(30, 2, hours(1)), None, "another clock");
        assert_eq!(look(60, 2, None), None, "a clock that cannot be read");
        assert_eq!(look(90, 2, hours(2)), None, "and can again");
        assert_eq!(look(120, 2, hours(3)), Some(50));
    }

    #[test]
    fn a_few_workers_rest_and_none_where_many_would() {
        let (now, later) = (Instant::now(), |ms| Duration::from_millis(ms));
        let mut calls = Calls { open: 1, changes: 0, resting: 0, too_many: None };
        let mut rests = |resting, workers, at| {
            calls.resting = resting;
            calls.may_rest(workers, now + later(at))
        };
        assert!(rests(0, 2, 0) && rests(7, 32, 1));
        assert!(!rests(8, 32, 2), "a quarter sits out");
        assert!(!rests(0, 32, 9_000), "too many would");
        assert!(rests(0, 32, 11_000));
        calls.open = 2;
        assert!(!calls.may_rest(32, now + later(12_000)), "a call inside of another one");
        // A second run on the same cores: the worker's and the caller's are both shared.
        assert_eq!(play(3000, |_| true, |_, _| true), []);
    }

    /// Linux tells what a thread has waited.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_rest_ends_with_the_call_and_is_none_within_two() {
        let hour = Duration::from_secs(3600);
        // Rests in a thread that has found that it should, and tells how long it did.
        let rest = || {
            std::thread::spawn(move || {
                WATCH.with_borrow_mut(|watch| watch.until = Some(Instant::now() + hour));
                let began = Instant::now();
                rest_if_crowded(None, &AtomicBool::new(false));
                began.elapsed()
            })
        };
        sit_out(true);
        // Tests beside this one may begin and end calls of their own: then a rest is shorter.
        let call = Call::begin();
        let resting = rest();
        std::thread::sleep(Duration::from_millis(50));
        call.end();
        assert!(resting.join().unwrap() < hour / 2);
        let calls = [Call::begin(), Call::begin()];
        assert!(rest().join().unwrap() < hour / 2);
        calls.iter().for_each(Call::end);
        sit_out(false);
    }
}
