//! h5gate
pub mod token;
