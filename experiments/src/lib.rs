//! Practice: run folders, configurations, progress, pictures. One plain binary for each experiment.
