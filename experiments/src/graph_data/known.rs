//! The public data sets: what each should hold.

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
    /// The file's sha256.
    pub sha256: &'static str,
    /// Where its source lies.
    pub origin: &'static str,
}

const PLANETOID: &str = "https://github.com/kimiyoung/planetoid/tree/master/data";
const GEOM: &str = "https://github.com/graphdml-uiuc-jlu/geom-gcn/tree/master/new_data";
const YANDEX: &str = "https://github.com/yandex-research/heterophilous-graphs/tree/main/data";
const SHCHUR: &str = "https://github.com/shchur/gnn-benchmark/tree/master/data/npz";

macro_rules! known {
    ($($name:literal, $nodes:literal, $edges:literal, $features:literal, $classes:literal, $origin:ident, $sha:literal;)+) => {
        /// Every data set that has published splits and figures.
        pub const KNOWN: &[Known] = &[$(Known {
            name: $name, nodes: $nodes, edges: $edges, features: $features, classes: $classes,
            sha256: $sha, origin: $origin,
        }),+];
    };
}

known! {
    "cora", 2708, 5278, 1433, 7, PLANETOID, "6cbe198c13e03036c07d46e3679f9e890c553840c88650f89054d2f2019868e6";
    "citeseer", 3327, 4552, 3703, 6, PLANETOID, "c03ea16a6909977798315a3a93138a009554f173504f5aa885fe1b6f9838f0a2";
    "pubmed", 19717, 44324, 500, 3, PLANETOID, "361b74fcd4c82126d6ef35cedfc8f9b68f17c13398b55e2c5a0bc32ccdf15769";
    "texas", 183, 279, 1703, 5, GEOM, "7ec67d2dc4d30056e26c97c57a7542f97fa86ce1107aad199cdbcd15eb587cab";
    "wisconsin", 251, 450, 1703, 5, GEOM, "5034bebc78d1fb781c31167ac9da5f72239ceb3a79c4e98c2cd7373e1da2235f";
    "cornell", 183, 277, 1703, 5, GEOM, "d4edf557166a1254240de349793ebd86fd4792b315b43cb35d642ac24d0bca6c";
    "cornell_fixed", 183, 277, 1703, 5, YANDEX, "67abde0727413a4c95d750587956946947cb7074d8421c723583ad33744b77b9";
    "film", 7600, 26659, 932, 5, GEOM, "e51fd358710aff916817265ac3f51c83174a848a2b6438e7590bd9d8a6a5b76f";
    "chameleon", 2277, 31371, 2325, 5, GEOM, "4c474996090dc68d6653c7bc87ca015af8f2fab0ccfa3bd4471001c9560a4030";
    "chameleon_filtered", 890, 8854, 2325, 5, YANDEX, "483c1d1b6da77a59c5fb28cda38ddc129f6a0ebbbefb7fe9f6aabc577b5a4dec";
    "squirrel", 5201, 198353, 2089, 5, GEOM, "a889d5f464b28154d00bf43fad602f824eb95ac7f0addafbb04fb5ec722d968b";
    "squirrel_filtered", 2223, 46998, 2089, 5, YANDEX, "80f8bceb60ae74e019a86193e76790db3fe1b32c58179b54fa6c79bd7a1835cc";
    "coauthor_cs", 18333, 81894, 6805, 15, SHCHUR, "fcf96846cff8efeba7a770f07d69c35be93934d82bf255a3dd87d65b940319ca";
    "amazon_photo", 7650, 119081, 745, 8, SHCHUR, "daa27957fde07283f6bd757c21e693c9b4126f1746357377455ad7987ef50f45";
    "minesweeper", 10000, 39402, 7, 2, YANDEX, "b5c934e11a720ab678b2ce3bd69c20eb4f9f2dda05cf67a54f27e5fea54ca166";
}
