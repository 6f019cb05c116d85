//! The public data sets: what each should hold.

use models::gnn::{Dataset, Split};
use sha2::{Digest, Sha256};

/// A known data set.
pub struct Known {
    /// Its name, and its file's without `.npz`.
    pub name: &'static str,
    /// Nodes.
    pub nodes: usize,
    /// Undirected edges.
    pub edges: usize,
    /// Features.
    pub features: usize,
    /// Classes.
    pub classes: usize,
    /// The sha256 of [`contents`].
    pub contents: &'static str,
    /// The sha256 of [`masks`].
    pub splits: &'static str,
}

macro_rules! known {
    ($($name:literal, $nodes:literal, $edges:literal, $features:literal, $classes:literal, $contents:literal, $splits:literal;)+) => {
        /// Every data set that has published splits and figures.
        pub const KNOWN: &[Known] = &[$(Known {
            name: $name, nodes: $nodes, edges: $edges, features: $features, classes: $classes,
            contents: $contents, splits: $splits,
        }),+];
    };
}

known! {
    "cora", 2708, 5278, 1433, 7, "2b29424ea55cd3fa10df0e4912db25bbc4f4a1999b24bdf9225b35acf4278fa2", "f78534978953fc2b7a857015194f86dfb147de5f2394fe2a002e9419f06cd5e7";
    "citeseer", 3327, 4552, 3703, 6, "992333e95dd9b6fce1428d6c249e97cd71b8f86b6a232d544eb8fc75547ab563", "6d0ef05010c7b75b99d05041111743ac6e2471ec8f4fd27aa769dece4f8b8e3c";
    "pubmed", 19717, 44324, 500, 3, "00335f45f2be468f7da2ff55d2b1d2ef4a088ef79309fae79aedc9fadaf6246d", "101a0c4f9bf63911241d8d68df74c4575536d8262890b3ee693cf47911cb815c";
    "texas", 183, 279, 1703, 5, "a9d078871a31756ad9275f4771204468aa90272fe06ea9aa985187ee1de779af", "50767e296ba0948be721803a908a0e004dca86a4c0c50382b5cf47cda7a2e041";
    "wisconsin", 251, 450, 1703, 5, "1757bfafcd2df8da369a419a3ba500db496f0ef93e726784e699348ef8448b62", "be56dbada30fdfc6ac2ff0ff33253b0d4b26101be34a93a070315c9d737199f9";
    "cornell", 183, 277, 1703, 5, "b857c45accf36aca6efbc5649fd165019a805ad6eb70fdb446699aececbe356a", "9902d4d29a1556a3ad3df8cb035c50f61719f847f291915ff580438d9321fe81";
    "cornell_fixed", 183, 277, 1703, 5, "3d0ed44d57ed6bdad3e62f539e100452dbe8fd766fe3c5b3660a6aedbb28dab8", "9902d4d29a1556a3ad3df8cb035c50f61719f847f291915ff580438d9321fe81";
    "film", 7600, 26659, 932, 5, "cba1a8d4bd62fa9ef028b63dc2f8fa785ccc469f3a753989d83a3272e3048f07", "62020e840f235b3ef454d7a0396e13ce36eb55883b72f1f738279ce7a703caaa";
    "chameleon", 2277, 31371, 2325, 5, "6af6ac74a01b7ae335c42b1daeaf0a45226cd60445e55d426beea5d4f4546973", "ea1c65357702205844405c5418ff8fa2b994cf271e2175b9397fc33faf495f08";
    "chameleon_filtered", 890, 8854, 2325, 5, "00c9ef217b00bce8202bc87789a73bf882a5e701a7ba14a1fef659669956b111", "1d0abe4521233adc034c185ab4e06ffdf6bcc4253c11a78eb3c15ca28513c3b6";
    "squirrel", 5201, 198353, 2089, 5, "76f6224b78c3b32994cff75fcb747e65985b6a6d1a022c3db15cad3064c8241a", "b13031628bfb67a1e4232bd29bc1ac2c6c4deb9d95b44ba31d257b28775fe96b";
    "squirrel_filtered", 2223, 46998, 2089, 5, "685966c5652da818b2809371693ae6923a69b1499f8c4af9f580896b3da0bbbf", "70159e51f06a8fc02328512e2dd4308726eb9c69c68822e3596694ede7cbed44";
    "coauthor_cs", 18333, 81894, 6805, 15, "31947713a26b49aafd3a12bd4472101488e5bdfd1a58c1a08b1a6ad9610ed726", "8e86f532e783974bdb91a9615d1178a37faaa2dce7052a1e118192abf3c14af9";
    "amazon_photo", 7650, 119081, 745, 8, "b087b08ee6a1fa9c472dd7c7d588f2f9305f4ebe3abca0256c51bd63bceb2f72", "0b471deeeccb0078bbd1394e3d8b34afbccece506e6132254bae3b36b6e793c2";
    "minesweeper", 10000, 39402, 7, 2, "150eae5a0f3e9fb7ee0974d02fdf05d012ad89c619b1b17150b7c2ae0320971e", "392bc6a2b6ff659ad286388dbf20bdc767b707ded91be83f7941e9919c7f0490";
}

/// The sha256 of edges, features and labels: the same for the same graph, whatever file it was read from.
pub fn contents(data: &Dataset) -> String {
    let mut sum = Sha256::new();
    let mut put = |values: &mut dyn Iterator<Item = u32>| {
        // With its length, so that no entry can move from one list to the next.
        let bytes: Vec<u8> = values.flat_map(u32::to_le_bytes).collect();
        sum.update((bytes.len() as u64).to_le_bytes());
        sum.update(bytes);
    };
    let mut pairs = |pairs: &[(u32, u32)]| {
        let mut sorted = pairs.to_vec();
        sorted.sort_unstable();
        put(&mut sorted.into_iter().flat_map(|(u, v)| [u, v]));
    };
    pairs(&data.edges);
    pairs(data.raw_edges.as_deref().unwrap_or_default());
    put(&mut data.labels.iter().copied());
    put(&mut data.unlabelled.iter().copied());
    let x = &data.features;
    let mut starts = vec![0];
    (0..x.rows()).for_each(|i| starts.push(starts[i] + x.row(i).count() as u32));
    put(&mut starts.into_iter());
    put(&mut x.entries().map(|(_, j, _)| j as u32));
    put(&mut x.entries().map(|(.., v)| v.to_bits()));
    hexadecimal(sum)
}

/// The sha256 of the splits, the public one last.
pub fn masks(data: &Dataset) -> String {
    let mut sum = Sha256::new();
    for Split { train, validation, test } in data.splits.iter().chain(&data.public) {
        for part in [train, validation, test] {
            sum.update((part.len() as u64).to_le_bytes());
            part.iter().for_each(|i| sum.update(i.to_le_bytes()));
        }
    }
    hexadecimal(sum)
}

fn hexadecimal(sum: Sha256) -> String {
    sum.finalize().iter().map(|b| format!("{b:02x}")).collect()
}
