//! Contour lines of a function on a regular grid, by marching squares (Lorensen and Cline 1987 in two
//! dimensions): a line segment for each way that a level passes through a cell.

/// The segments at which `values` (`nx * ny`, x fastest) cross `level`, in units of cells.
pub(super) fn segments(values: &[f64], nx: usize, ny: usize, level: f64) -> Vec<[(f64, f64); 2]> {
    let mut out = Vec::new();
    for j in 0..ny.saturating_sub(1) {
        for i in 0..nx.saturating_sub(1) {
            let corner = |di: usize, dj: usize| values[(j + dj) * nx + i + di] - level;
            let v = [corner(0, 0), corner(1, 0), corner(1, 1), corner(0, 1)];
            if v.iter().any(|v| !v.is_finite()) {
                continue;
            }
            let at = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)];
            let mut crossings = Vec::with_capacity(4);
            for e in 0..4 {
                let (a, b) = (v[e], v[(e + 1) % 4]);
                if (a < 0.0) != (b < 0.0) {
                    let (p, q, s) = (at[e], at[(e + 1) % 4], a / (a - b));
                    crossings.push((i as f64 + p.0 + s * (q.0 - p.0), j as f64 + p.1 + s * (q.1 - p.1)));
                }
            }
            out.extend(crossings.chunks_exact(2).map(|c| [c[0], c[1]]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slope_is_crossed_by_a_straight_line() {
        // f = x on a 3 x 2 grid crosses 0.5 half-way through the first cell.
        let s = segments(&[0.0, 1.0, 2.0, 0.0, 1.0, 2.0], 3, 2, 0.5);
        assert_eq!(s, vec![[(0.5, 0.0), (0.5, 1.0)]]);
        assert!(segments(&[], 0, 0, 1.0).is_empty());
    }
}
