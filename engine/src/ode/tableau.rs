//! Explicit Runge-Kutta methods as tables.
//!
//! ```text
//! k_i = f(t + c_i h, y + h sum_{j<i} a_ij k_j),      y(t + h) = y + h sum_i b_i k_i
//! ```
//!
//! Butcher's notation, as in Hairer, Norsett and Wanner, *Solving ordinary differential equations I*
//! (1993), II.1. The error estimate is h sum_i e_i k_i with e = b - b^, b^ the weights of the embedded
//! method (II.4).

/// One explicit Runge-Kutta method.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tableau {
    /// The method's name.
    pub name: &'static str,
    /// Order of y(t + h).
    pub order: usize,
    /// Nodes.
    pub c: &'static [f64],
    /// Row i holds the i weights of stage i.
    pub a: &'static [&'static [f64]],
    /// Weights.
    pub b: &'static [f64],
    /// b - b^; empty without an embedded method.
    pub error: &'static [f64],
    /// Order of the embedded method; 0 without one.
    pub embedded_order: usize,
    /// The last stage is f(t + h, y(t + h)), the first stage of the next step.
    pub fsal: bool,
}

impl Tableau {
    /// The number of stages.
    pub fn stages(&self) -> usize {
        self.b.len()
    }
}

/// Euler's method, order 1.
pub const EULER: Tableau = Tableau {
    name: "Euler",
    order: 1,
    c: &[0.0],
    a: &[&[]],
    b: &[1.0],
    error: &[],
    embedded_order: 0,
    fsal: false,
};

/// The explicit midpoint rule, order 2 (Runge 1895).
pub const MIDPOINT: Tableau = Tableau {
    name: "midpoint",
    order: 2,
    c: &[0.0, 0.5],
    a: &[&[], &[0.5]],
    b: &[0.0, 1.0],
    error: &[],
    embedded_order: 0,
    fsal: false,
};

/// The classical method of order 4 (Kutta 1901).
pub const RK4: Tableau = Tableau {
    name: "RK4",
    order: 4,
    c: &[0.0, 0.5, 0.5, 1.0],
    a: &[&[], &[0.5], &[0.0, 0.5], &[0.0, 0.0, 1.0]],
    b: &[1.0 / 6.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 6.0],
    error: &[],
    embedded_order: 0,
    fsal: false,
};

/// The 3/8 rule of order 4 (Kutta 1901), which torchdiffeq calls `rk4`.
pub const THREE_EIGHTHS: Tableau = Tableau {
    name: "3/8 rule",
    order: 4,
    c: &[0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0],
    a: &[&[], &[1.0 / 3.0], &[-1.0 / 3.0, 1.0], &[1.0, -1.0, 1.0]],
    b: &[1.0 / 8.0, 3.0 / 8.0, 3.0 / 8.0, 1.0 / 8.0],
    error: &[],
    embedded_order: 0,
    fsal: false,
};

const DORMAND_PRINCE_B: [f64; 7] =
    [35.0 / 384.0, 0.0, 500.0 / 1113.0, 125.0 / 192.0, -2187.0 / 6784.0, 11.0 / 84.0, 0.0];

/// Dormand and Prince, J. Comput. Appl. Math. 6 (1980) 19, RK5(4)7M.
pub const DORMAND_PRINCE: Tableau = Tableau {
    name: "Dormand-Prince 5(4)",
    order: 5,
    c: &[0.0, 1.0 / 5.0, 3.0 / 10.0, 4.0 / 5.0, 8.0 / 9.0, 1.0, 1.0],
    a: &[
        &[],
        &[1.0 / 5.0],
        &[3.0 / 40.0, 9.0 / 40.0],
        &[44.0 / 45.0, -56.0 / 15.0, 32.0 / 9.0],
        &[19372.0 / 6561.0, -25360.0 / 2187.0, 64448.0 / 6561.0, -212.0 / 729.0],
        &[9017.0 / 3168.0, -355.0 / 33.0, 46732.0 / 5247.0, 49.0 / 176.0, -5103.0 / 18656.0],
        DORMAND_PRINCE_B.first_chunk::<6>().unwrap(),
    ],
    b: &DORMAND_PRINCE_B,
    error: &[
        71.0 / 57600.0,
        0.0,
        -71.0 / 16695.0,
        71.0 / 1920.0,
        -17253.0 / 339200.0,
        22.0 / 525.0,
        -1.0 / 40.0,
    ],
    embedded_order: 4,
    fsal: true,
};

/// All tables of this module.
pub const ALL: [&Tableau; 5] = [&EULER, &MIDPOINT, &RK4, &THREE_EIGHTHS, &DORMAND_PRINCE];

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64, what: &str) {
        assert!((a - b).abs() < 1e-13, "{what}: {a} is not {b}");
    }

    #[test]
    fn rows_of_a_add_up_to_the_nodes() {
        for t in ALL {
            assert_eq!((t.a.len(), t.c.len()), (t.stages(), t.stages()));
            for (i, row) in t.a.iter().enumerate() {
                assert_eq!(row.len(), i, "{}", t.name);
                close(row.iter().sum(), t.c[i], t.name);
            }
        }
    }

    /// Conditions sum_i w_i c_i^(q-1) = 1 / q for q <= order, and those on a_ij up to order 4
    /// (Hairer, Norsett and Wanner, table II.2.2).
    fn satisfies_order_conditions(t: &Tableau, w: &[f64], order: usize) {
        let stages = 0..t.stages();
        let dot = |f: &dyn Fn(usize) -> f64| stages.clone().map(|i| w[i] * f(i)).sum::<f64>();
        let ac = |i: usize, p: i32| t.a[i].iter().zip(t.c).map(|(a, c)| a * c.powi(p)).sum::<f64>();
        let aac = |i: usize| t.a[i].iter().enumerate().map(|(j, a)| a * ac(j, 1)).sum::<f64>();
        for q in 1..=order as i32 {
            close(dot(&|i| t.c[i].powi(q - 1)), 1.0 / q as f64, t.name);
        }
        if order >= 3 {
            close(dot(&|i| ac(i, 1)), 1.0 / 6.0, t.name);
        }
        if order >= 4 {
            close(dot(&|i| t.c[i] * ac(i, 1)), 1.0 / 8.0, t.name);
            close(dot(&|i| ac(i, 2)), 1.0 / 12.0, t.name);
            close(dot(&aac), 1.0 / 24.0, t.name);
        }
    }

    #[test]
    fn weights_satisfy_the_order_conditions() {
        for t in ALL {
            satisfies_order_conditions(t, t.b, t.order);
            if !t.error.is_empty() {
                let embedded: Vec<f64> = t.b.iter().zip(t.error).map(|(b, e)| b - e).collect();
                satisfies_order_conditions(t, &embedded, t.embedded_order);
            }
        }
    }
}
