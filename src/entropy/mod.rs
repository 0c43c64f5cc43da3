//! Entropy coding: static frequency tables and 32-lane interleaved rANS.
//!
//! A *symbol* is one byte. Each symbol is coded with the frequency table that its *context* (one
//! byte a symbol) selects. Tables are static: counted once a tensor, stored once, shared by all its
//! chunks. Where symbols and contexts come from is not known here.

#[cfg(feature = "encode")]
mod encode_table;
mod freq;
pub(crate) mod rans;
#[cfg(target_arch = "x86_64")]
mod search;
pub(crate) mod signed;
mod table;

#[cfg(feature = "encode")]
pub(crate) use encode_table::EncodeTables;
pub(crate) use freq::Frequencies;
#[cfg(feature = "encode")]
pub(crate) use freq::SYMBOLS;
#[cfg(target_arch = "x86_64")]
pub(crate) use search::SearchTables;
pub(crate) use table::DecodeTables;
