//! Step sizes by dual averaging and scales of coordinates, found in a warm-up.

/// Dual averaging of log(step size) towards a mean acceptance (Hoffman and Gelman 2014, section 3.2, with their
/// gamma = 0.05, t_0 = 10, kappa = 0.75).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct DualAveraging {
    /// What the logarithm is drawn to, log 10 times the first step size.
    pub centre: f64,
    /// Steps so far.
    pub count: f64,
    /// The averaged shortfall of the acceptance.
    pub shortfall: f64,
    /// The averaged logarithm: the step size after the warm-up.
    pub average: f64,
}

impl DualAveraging {
    /// Begins at a step size.
    pub fn new(step: f64) -> Self {
        Self { centre: (10.0 * step).ln(), count: 0.0, shortfall: 0.0, average: step.ln() }
    }

    /// The next step size after one of this acceptance, which should be `wanted`.
    pub fn next(&mut self, acceptance: f64, wanted: f64) -> f64 {
        self.count += 1.0;
        let t = self.count;
        self.shortfall += (wanted - acceptance - self.shortfall) / (t + 10.0);
        let log_step = (self.centre - t.sqrt() / 0.05 * self.shortfall).clamp(-20.0, 20.0);
        self.average += t.powf(-0.75) * (log_step - self.average);
        log_step.exp()
    }

    /// The step size to keep.
    pub fn step(&self) -> f64 {
        self.average.exp()
    }
}

/// Where the warm-up's windows begin, and where they end, as in Stan: the scales are those of the window before. The step size adapts alone
/// in the first 75 steps and in the last 50 of them; windows between begin at 25 steps and double, and the last one takes
/// what is left. A warm-up of less than 150 steps has 15 % and 10 % in place of 75 and 50, and one window.
pub(crate) fn windows(warm_up: u64) -> (u64, Vec<u64>) {
    let (first, last, mut length) = match warm_up {
        0..20 => return (0, Vec::new()),
        20..150 => {
            let (first, last) = (15 * warm_up / 100, warm_up / 10);
            (first, last, warm_up - first - last)
        }
        _ => (75, 50, 25),
    };
    let (mut at, stop, mut ends) = (first, warm_up - last, Vec::new());
    while at < stop {
        // A window that leaves too little for one of twice its length takes it.
        let end = if at + 3 * length > stop { stop } else { at + length };
        ends.push(end);
        (at, length) = (end, 2 * length);
    }
    (first, ends)
}

/// The standard deviation of each coordinate within walkers, averaged over walkers: what moves within a mode see.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spread {
    /// States of each walker so far.
    pub count: f64,
    /// Their mean, for each walker and coordinate.
    pub mean: Vec<f64>,
    /// The sum of squares about it.
    pub squares: Vec<f64>,
}

impl Spread {
    /// Of nothing yet; `len` is the number of coordinates of all walkers.
    pub fn new(len: usize) -> Self {
        Self { count: 0.0, mean: vec![0.0; len], squares: vec![0.0; len] }
    }

    /// Adds the states (Welford 1962).
    pub fn add(&mut self, x: &[f64]) {
        self.count += 1.0;
        for ((x, mean), square) in x.iter().zip(&mut self.mean).zip(&mut self.squares) {
            let before = x - *mean;
            *mean += before / self.count;
            *square += before * (x - *mean);
        }
    }

    /// The standard deviations of `d` coordinates, their logarithms drawn a little to the mean of all, so that few states
    /// cannot freeze a coordinate, and a coordinate may be as narrow as it is.
    pub fn scales(&self, d: usize) -> Vec<f64> {
        let walkers = (self.squares.len() / d.max(1)) as f64;
        let degrees = (walkers * (self.count - 1.0)).max(1.0);
        let mut variance = vec![0.0; d];
        for own in self.squares.chunks_exact(d) {
            variance.iter_mut().zip(own).for_each(|(v, s)| *v += s / degrees);
        }
        let known: Vec<f64> = variance.iter().copied().filter(|v| *v > 0.0).collect();
        let centre = known.iter().map(|v| v.ln()).sum::<f64>() / known.len().max(1) as f64;
        // Five states' worth of the centre, as Stan has five of 1e-3.
        let weight = degrees / (degrees + 5.0);
        let drawn = |v: &f64| if *v > 0.0 { weight * v.ln() + (1.0 - weight) * centre } else { centre };
        variance.iter().map(|v| (0.5 * drawn(v)).exp()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::rng::Stream;

    #[test]
    fn dual_averaging_finds_the_step_of_the_wanted_acceptance() {
        // Acceptance 1 / (1 + step^2): 0.8 at step 0.5.
        for first in [1e-3, 1.0, 50.0] {
            let mut adaptation = DualAveraging::new(first);
            let mut step: f64 = first;
            for _ in 0..1000 {
                step = adaptation.next(1.0 / (1.0 + step * step), 0.8);
            }
            assert!((adaptation.step() - 0.5).abs() < 0.02, "{}", adaptation.step());
        }
    }

    #[test]
    fn windows_are_those_of_stan() {
        // Stan's manual, warm-up 1000: slow windows of 25, 50, 100, 200 and 500 after 75 and before 50.
        assert_eq!(windows(1000), (75, vec![100, 150, 250, 450, 950]));
        assert_eq!(windows(150), (75, vec![100]));
        assert_eq!(windows(100), (15, vec![90]));
        assert_eq!(windows(10), (0, Vec::new()));
    }

    #[test]
    fn scales_are_those_within_walkers() {
        let (walkers, scales) = (50, [0.01, 3.0]);
        let mut spread = Spread::new(2 * walkers);
        for at in 0..40 {
            let mut x = vec![0.0; 2 * walkers];
            Stream::new(1, "spread", at, 0).fill_normal(&mut x);
            for (w, x) in x.chunks_exact_mut(2).enumerate() {
                // Walkers in modes far from each other.
                (0..2).for_each(|a| x[a] = 100.0 * (w % 3) as f64 + scales[a] * x[a]);
            }
            spread.add(&x);
        }
        for (found, want) in spread.scales(2).iter().zip(scales) {
            // 1950 degrees of freedom: five standard errors; the pull to the mean is 5 / 1955 of log 17.
            assert!((found / want - 1.0).abs() < 5.0 / (2.0_f64 * 1950.0).sqrt() + 0.012, "{found} {want}");
        }
        assert!(Spread::new(4).scales(2).iter().all(|s| *s >= 0.0));
    }
}
