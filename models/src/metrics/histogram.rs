//! Total variation between histograms on a fixed grid.

use super::{MetricError, count};

/// Cells of the largest histogram: half a gigabyte of counts.
const MOST_CELLS: usize = 1 << 26;

/// Total variation between the normalised histograms p of `x` and q of `y`, `bins` equal bins on
/// [low, high] and one cell for all points outside:
///
/// TV = 1/2 sum over cells of |p_cell - q_cell|, in [0, 1].
///
/// # Errors
/// If an input is empty or not finite, low < high does not hold, or `bins` is not in [1, 2^26].
pub fn tv_1d(x: &[f64], y: &[f64], low: f64, high: f64, bins: usize) -> Result<f64, MetricError> {
    tv::<1>(x, y, low, high, bins)
}

/// [`tv_1d`] of points in the plane, on `bins` x `bins` equal cells of [low, high]^2 and one cell for all
/// points outside.
///
/// With more cells than samples the floor is high: two exact sets of 1000 samples of the 40-component
/// mixture differ by 0.76 on 200 x 200 cells.
///
/// # Errors
/// As [`tv_1d`], with `bins`^2 at most 2^26; also if a length is odd.
pub fn tv_2d(x: &[f64], y: &[f64], low: f64, high: f64, bins: usize) -> Result<f64, MetricError> {
    tv::<2>(x, y, low, high, bins)
}

fn tv<const D: usize>(x: &[f64], y: &[f64], low: f64, high: f64, bins: usize) -> Result<f64, MetricError> {
    let (n, m) = (count(x, D)?, count(y, D)?);
    if !(low < high && (high - low).is_finite()) {
        return Err(MetricError::Parameter("a histogram needs finite low < high"));
    }
    let cells = bins.checked_pow(D as u32).filter(|cells| (1..=MOST_CELLS).contains(cells));
    let Some(cells) = cells else {
        return Err(MetricError::Parameter("a histogram has between 1 and 2^26 cells"));
    };
    let mut counts = vec![[0u32; 2]; cells + 1];
    for (side, points) in [x, y].into_iter().enumerate() {
        for point in points.as_chunks::<D>().0 {
            let index = |cell: usize, v: &f64| Some(cell * bins + bin(*v, low, high, bins)?);
            let cell = point.iter().try_fold(0, index).unwrap_or(cells);
            counts[cell][side] += 1;
        }
    }
    // |a/n - b/m| = |a m - b n| / (n m): summed in whole numbers, hence exactly.
    let difference = |[a, b]: &[u32; 2]| (u128::from(*a) * m as u128).abs_diff(u128::from(*b) * n as u128);
    let sum: u128 = counts.iter().map(difference).sum();
    Ok(sum as f64 / (2.0 * n as f64 * m as f64))
}

/// The bin of `v`, None outside. A bin includes its lower edge, the last one also its upper edge.
fn bin(v: f64, low: f64, high: f64, bins: usize) -> Option<usize> {
    let inside = (low..=high).contains(&v);
    inside.then(|| (((v - low) / (high - low) * bins as f64) as usize).min(bins - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_worked_out_by_hand() {
        // Bins [0,1), [1,2), [2,3), [3,4]: p = (2,1,0,1)/4, q = (0,1,0,1)/2: TV = 1/2 (1/2 + 1/4 + 1/4).
        assert_eq!(tv_1d(&[0.0, 0.5, 1.0, 4.0], &[1.5, 3.0], 0.0, 4.0, 4), Ok(0.5));
    }

    #[test]
    fn cells_of_the_plane_are_told_apart() {
        // Corners of [0, 2]^2 in 2 x 2 cells: (0,0) agrees, (2,0) against (0,2) does not.
        assert_eq!(tv_2d(&[0.0, 0.0, 2.0, 0.0], &[0.5, 0.5, 0.0, 2.0], 0.0, 2.0, 2), Ok(0.5));
    }

    #[test]
    fn samples_outside_are_one_cell() {
        assert_eq!(tv_1d(&[0.5, -7.0], &[0.5, 0.6], 0.0, 1.0, 1), Ok(0.5));
        assert_eq!(tv_1d(&[9.0], &[-7.0], 0.0, 1.0, 1), Ok(0.0));
        // One coordinate outside is outside, though the other lies in a bin.
        assert_eq!(tv_2d(&[0.5, 3.0], &[0.5, 0.5], 0.0, 1.0, 1), Ok(1.0));
    }

    #[test]
    fn disjoint_sets_are_at_distance_one_and_a_set_at_zero_from_itself() {
        let (x, y) = ([0.1, 0.2, 0.3], [0.8, 0.9, 0.7, 1.0]);
        assert_eq!(tv_1d(&x, &y, 0.0, 1.0, 2), Ok(1.0));
        assert_eq!(tv_1d(&x, &x, 0.0, 1.0, 200), Ok(0.0));
    }

    #[test]
    fn malformed_inputs_are_errors() {
        let parameter = |r: Result<f64, MetricError>| matches!(r, Err(MetricError::Parameter(_)));
        assert!(parameter(tv_1d(&[0.5], &[0.5], 1.0, 1.0, 4)));
        assert!(parameter(tv_1d(&[0.5], &[0.5], 0.0, f64::NAN, 4)));
        assert!(parameter(tv_1d(&[0.5], &[0.5], 0.0, 1.0, 0)));
        assert!(parameter(tv_2d(&[0.5; 2], &[0.5; 2], 0.0, 1.0, usize::MAX)));
        assert_eq!(tv_1d(&[], &[0.5], 0.0, 1.0, 4), Err(MetricError::Empty));
        assert_eq!(tv_1d(&[0.5], &[f64::INFINITY], 0.0, 1.0, 4), Err(MetricError::NotFinite(0)));
        assert_eq!(tv_2d(&[0.5; 3], &[0.5; 2], 0.0, 1.0, 4), Err(MetricError::Ragged { length: 3, d: 2 }));
    }
}
