//! The rungs between target and Gaussian, and their spacing.

/// Lower bound of rejection rates, which bounds the distance of two rungs.
const LEAST_REJECTION: f64 = 0.01;

/// lambda from 1 (the target) down to 0 (the Gaussian).
#[derive(Clone, Debug)]
pub(super) struct Ladder {
    rungs: Vec<f64>,
    /// lambda is spaced geometrically above this and evenly below.
    least: f64,
}

impl Ladder {
    /// `count >= 2` rungs, evenly spaced in [`height`](Self::height).
    pub fn new(count: usize, least: f64) -> Self {
        let mut ladder = Self { rungs: vec![1.0, 0.0], least };
        let top = ladder.height(1.0);
        let at = |k: usize| ladder.at_height(top * (count - 1 - k) as f64 / (count - 1) as f64);
        let mut rungs: Vec<f64> = (0..count).map(at).collect();
        (rungs[0], rungs[count - 1]) = (1.0, 0.0);
        ladder.rungs = rungs;
        ladder
    }

    /// lambda_0, ..., lambda_(R-1).
    pub fn rungs(&self) -> &[f64] {
        &self.rungs
    }

    /// Restores saved rungs, of the same number.
    pub fn restore(&mut self, rungs: &[f64]) {
        self.rungs.copy_from_slice(rungs);
    }

    /// log(1 + lambda / least).
    fn height(&self, lambda: f64) -> f64 {
        (lambda / self.least).ln_1p()
    }

    fn at_height(&self, height: f64) -> f64 {
        self.least * height.exp_m1()
    }

    /// Moves the rungs so that swaps of all neighbours have equal rejection rates. The sum of the mean
    /// rejections along the ladder does not depend on the rungs (Syed et al. 2022, section 4); the new rungs
    /// divide it evenly, by linear interpolation. Returns the position of each new rung among the old ones: 2.25
    /// is a quarter of the way from rung 2 to rung 3.
    pub fn respace(&mut self, rejections: &[f64]) -> Vec<f64> {
        let count = self.rungs.len();
        let length = |r: &f64| if r.is_finite() { r.clamp(LEAST_REJECTION, 1.0) } else { 1.0 };
        let lengths: Vec<f64> = rejections.iter().map(length).collect();
        let total: f64 = lengths.iter().sum();
        let heights: Vec<f64> = self.rungs.iter().map(|l| self.height(*l)).collect();
        let mut places = vec![0.0; count];
        let (mut k, mut passed) = (0, 0.0);
        for i in 1..count - 1 {
            let wanted = total * i as f64 / (count - 1) as f64;
            while k + 2 < count && passed + lengths[k] < wanted {
                passed += lengths[k];
                k += 1;
            }
            places[i] = k as f64 + ((wanted - passed) / lengths[k]).clamp(0.0, 1.0);
        }
        places[count - 1] = (count - 1) as f64;
        for i in 1..count - 1 {
            self.rungs[i] = self.at_height(interpolate(&heights, places[i]));
        }
        places
    }
}

/// Linear interpolation of `y` at a fractional index.
pub(super) fn interpolate(y: &[f64], place: f64) -> f64 {
    let k = (place.floor() as usize).min(y.len().saturating_sub(2));
    let t = place - k as f64;
    y[k] * (1.0 - t) + y[k + 1] * t
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_ladder_descends_from_one_to_zero() {
        let ladder = Ladder::new(7, 1e-4);
        let rungs = ladder.rungs();
        assert_eq!((rungs.len(), rungs[0], rungs[6]), (7, 1.0, 0.0));
        assert!(rungs.windows(2).all(|w| w[0] > w[1]), "{rungs:?}");
        assert_eq!(Ladder::new(2, 0.1).rungs(), [1.0, 0.0]);
    }

    #[test]
    fn respacing_divides_the_rejections_evenly() {
        let mut ladder = Ladder::new(5, 0.1);
        let before = ladder.rungs().to_vec();
        // All the rejection lies between rungs 1 and 2, so the free rungs move there.
        let places = ladder.respace(&[0.0, 0.97, 0.0, 0.0]);
        assert!(places[1] > 1.2 && places[3] < 2.0 && places[4] == 4.0, "{places:?}");
        let rungs = ladder.rungs();
        assert!(rungs.windows(2).all(|w| w[0] > w[1]) && rungs[0] == 1.0 && rungs[4] == 0.0, "{rungs:?}");
        assert!(rungs[1] < before[1] && rungs[3] > before[2]);
        // Equal rejections leave it as it is.
        let again = ladder.respace(&[0.3; 4]);
        assert!(again.iter().enumerate().all(|(i, p)| (p - i as f64).abs() < 1e-12));
    }
}
