//! An energy of atoms in any program that is a client of i-PI's socket protocol, of which this is the server (Kapil et
//! al., Computer Physics Communications 236, 2019; <https://docs.ipi-code.org>, "Driver codes"): ASE, LAMMPS, CP2K,
//! Quantum ESPRESSO, FHI-aims, DFTB+, machine-learned potentials.
//!
//! Clients come and go: each gets one piece of a batch at a time, and a piece whose client is lost goes to another one.
//! Lengths are in bohr and energies in hartree.

mod client;
mod server;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use self::client::{Failure, Molecule};
use self::server::Server;
use super::batch_energy::{self, BatchEnergy, Elsewhere};
use super::pieces::in_pieces;
use super::{Built, Description, Keys, seconds};
use crate::target::{Double, TargetError};

/// Clients that a piece may lose before the run ends.
const LOST: usize = 3;

/// Builds the energy of the kind `ipi`.
pub(super) fn build(description: &Description, mut keys: Keys<'_>) -> Built {
    let (inet, unix) = (keys.take("address"), keys.take("unix"));
    let (place, address) = match (inet, unix) {
        (Some(place), None) => (place.clone(), Address::Inet(place.text()?)),
        (None, Some(place)) => (place.clone(), Address::Unix(place.text()?)),
        (Some(_), Some(place)) => return Err(place.error("and address are given; keep one")),
        (None, None) => {
            return Err(keys.source().whole(
                "neither address nor unix is given; write address = \"localhost:31415\", or unix = \"NAME\"",
            ));
        }
    };
    let mut count = |key, default| keys.take(key).map_or(Ok(default), |v| v.count(1, 10_000));
    let config = IpiConfig {
        address,
        clients: count("clients", 1)?,
        batch: count("batch", 1)?,
        timeout: seconds(keys.take("timeout"), 600.0)?,
        cell: keys.take("cell").map_or(Ok(CELL), |v| v.positive())?,
        shift: keys.take("shift").map_or(Ok(0.0), |v| v.number())?,
    };
    let offset = batch_energy::offset(&mut keys)?;
    let source = keys.source();
    keys.finish()?;
    let geometry = description.geometry;
    if !geometry.dim().is_multiple_of(3) || geometry.particles().is_some_and(|system| system.space != 3) {
        return Err(
            source.whole("atoms have three coordinates; give particles = N with space = 3, or dim = 3 N")
        );
    }
    let energy = Ipi::listen(config).map_err(|what| place.error(format!("= {what}")))?;
    Ok(Arc::new(Double(Elsewhere { energy, geometry, offset })))
}

/// Side of the cell if none is given, in bohr.
const CELL: f64 = 1000.0;

/// Where clients find us, and what they are sent.
#[derive(Clone, Debug, PartialEq)]
struct IpiConfig {
    /// Where we listen.
    address: Address,
    /// Clients that must have come before the first is asked.
    clients: usize,
    /// States that a client gets at a time. Above 1 only for clients that know batches (i-PI 3.3).
    batch: usize,
    /// How long a client may take to answer, and how long none at all may be there.
    timeout: Duration,
    /// Side of the cubic cell, in bohr.
    cell: f64,
    /// What is added to each coordinate, in bohr.
    shift: f64,
}

/// A place to listen at.
#[derive(Clone, Debug, PartialEq)]
enum Address {
    /// `HOST:PORT`.
    Inet(String),
    /// The file `/tmp/ipi_NAME`, as i-PI has it.
    Unix(String),
}

impl Address {
    /// The file of a Unix socket.
    fn file(name: &str) -> PathBuf {
        format!("/tmp/ipi_{name}").into()
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Inet(address) => write!(f, "{address}"),
            Self::Unix(name) => write!(f, "{}", Self::file(name).display()),
        }
    }
}

/// Clients that compute one energy.
struct Ipi {
    config: IpiConfig,
    server: Server,
}

impl Ipi {
    /// Listens; clients may come at any time.
    ///
    /// # Errors
    /// [`TargetError::Parameter`] if the address cannot be had.
    fn listen(config: IpiConfig) -> Result<Self, TargetError> {
        let server = Server::listen(&config.address, config.batch)?;
        Ok(Self { config, server })
    }

    /// Where clients find us.
    #[cfg(test)]
    fn address(&self) -> Address {
        self.server.address().clone()
    }

    fn answer(&self, molecule: Molecule, x: &[f64], e: &mut [f64], g: &mut [f64]) -> Result<(), String> {
        let mut lost = 0;
        loop {
            let mut client = self.server.take(self.config.timeout)?;
            match client.answer(molecule, x, e, g, self.config.timeout) {
                Ok(()) => {
                    self.server.give_back(client);
                    return Ok(());
                }
                // It had gone before.
                Err(Failure::Gone) => self.server.lost(),
                Err(Failure::Lost(why)) => {
                    self.server.lost();
                    lost += 1;
                    if lost == LOST {
                        return Err(format!("{LOST} clients were lost on the same state; the last {why}"));
                    }
                }
                Err(Failure::Confused(why)) => {
                    self.server.lost();
                    client.end();
                    return Err(format!("a client {why}"));
                }
            }
        }
    }
}

impl BatchEnergy for Ipi {
    fn energies(
        &self,
        d: usize,
        x: &[f64],
        energy: &mut [f64],
        gradient: &mut [f64],
    ) -> Result<(), TargetError> {
        let wrong = |why: String| {
            TargetError::Evaluation(format!("clients of i-PI at {}: {why}", self.server.address()))
        };
        let molecule = Molecule { atoms: d / 3, cell: self.config.cell, shift: self.config.shift };
        let there = self.server.wait_for(self.config.clients, self.config.timeout).map_err(wrong)?;
        in_pieces(there, self.config.batch, d, (x, energy, gradient), |x, energy, gradient| {
            self.answer(molecule, x, energy, gradient).map_err(wrong)
        })
    }
}

#[cfg(test)]
mod tests;
