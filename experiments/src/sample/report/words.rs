//! What figures and files are, in a few words each.

/// Figures by name.
const MEANINGS: &[(&str, &str)] = &[
    ("x_w2", "Wasserstein-2 distance of positions from the reference, by exact transport"),
    ("eq_w2", "the same up to rotations and permutations of particles"),
    ("e_w2", "Wasserstein-2 distance of energies from the reference"),
    ("d_tv", "total variation between the pair distances of samples and reference"),
    ("tv", "total variation between histograms in the plane"),
    ("outside", "share of samples outside the support"),
    ("modes_found", "known modes with a sample within their radius, of one set"),
    ("in_mode", "share of samples within the radius of a known mode"),
    ("mode_kl", "Kullback-Leibler divergence of the frequencies of known modes from their weights"),
    ("mode_chi2", "Pearson's statistic of these frequencies"),
    ("basins", "modes in the samples, by descents to minima; any density has them"),
    ("nll", "mean negative log-likelihood of exact samples under the model"),
    ("log_z", "log of the integral of exp(-E): by the flow's weights, or by the method itself"),
    ("ess", "effective share of the weights of the flow's samples"),
    ("khat", "tail of these weights; errors mean something below 0.7"),
    ("flow_step_error", "error of log densities from the steps of the flow"),
    ("trajectory_ess", "effective share of the weights of sampled paths"),
    ("trajectory_khat", "tail of these weights; errors mean something below 0.7"),
    ("trajectory_log_z", "log Z by these weights"),
    ("smc_ess", "effective share by sequential Monte Carlo along the paths"),
    ("smc_log_z", "log Z by sequential Monte Carlo along the paths"),
    ("calibration", "share of sets whose log Z lies within two standard errors of the known value"),
    ("calibration_trusted", "share of sets whose k-hat allows an error"),
    ("calibration_mean_z", "mean deviation of their log Z from the known value, in standard errors"),
    ("energy_mean", "mean energy"),
    ("energy_sd", "standard deviation of the energy"),
    ("energy_r_hat", "R-hat of the energy over chains: 1 where they agree, below 1.01 wanted"),
    ("correction_acceptance", "accepted trajectories of the exact correction"),
    ("jump_acceptance", "accepted jumps of the exact correction"),
    ("move_acceptance", "accepted moves of states in the buffer"),
    ("acceptance", "accepted moves"),
    ("reference_failed_checks", "checks that the reference failed"),
    ("floor_pairs", "pairs of exact sets behind each floor"),
    ("x_w2_floor_pairs", "those behind the floor of X-W2"),
    ("energy_evaluations", "the method: training and moves, or chains and populations"),
    ("gradient_evaluations", "those of them with a gradient"),
    ("tuning_evaluations", "variances of the reverse steps"),
    ("weight_evaluations", "weights of the samples' paths"),
    ("weights_csv_evaluations", "weights at each noise level, weights.csv"),
    ("modes_evaluations", "descents of samples to their minima"),
    ("audit_evaluations", "independent explorations and gradients for the verdict"),
    ("diverged_share", "trajectories of nuts that diverged"),
    ("longest_share", "trajectories of nuts that ended at the largest depth"),
    ("energy_bulk_ess", "independent states that the chains are worth, for the mean energy"),
    ("energy_tail_ess", "the same for its tails"),
    ("smc_evaluations", "populations along the paths"),
    ("correction_evaluations", "the exact correction"),
    ("calibration_evaluations", "sets of paths for the calibration"),
    ("reference_evaluations", "the reference, by parallel tempering"),
];

/// What a figure is; that of other samples is the same as of the raw ones.
pub(super) fn meaning(name: &str) -> Option<String> {
    let known = |name: &str| MEANINGS.iter().find(|(known, _)| *known == name).map(|(_, what)| *what);
    known(name).map(String::from).or_else(|| {
        let of =
            |prefix: &str, samples: &str| Some(format!("{samples}: {}", known(name.strip_prefix(prefix)?)?));
        let corrected = of("corrected_", "after the exact correction");
        corrected.or_else(|| of("least_variance_", "samples with the least variances, without weights"))
    })
}

/// Files of a run.
pub(super) const FILES: &[(&str, &str)] = &[
    ("metrics.json", "all figures, failed checks, modes"),
    ("samples.npz", "x, energy, log_weight; chain and draw of Markov chains"),
    ("samples.npy, log_weights.npy", "the same states in single precision, and their weights"),
    ("samples-least-variance.npy", "samples with the least variances, without weights"),
    ("samples.extxyz", "states of particles for ASE, OVITO and others"),
    ("modes.csv", "each mode: weight, free energy, energy, centre, widths"),
    ("weights.csv", "weights of a learned sampler at each noise level"),
    ("history.csv", "figures along the run"),
    ("config.toml, begun.toml, env.json", "settings, inputs and their sha256, program and machine"),
    ("observables.csv", "means of the formulas of --observe"),
    ("diagnostics.csv", "lists of the method, such as one number for each rung"),
    ("*.png, *.svg", "the pictures"),
];
