#![deny(unsafe_code)]
pub mod backend; mod bits; mod codec; mod cost; mod dtype; mod entropy; pub mod error; pub mod format; mod limits; mod plane; mod predict; mod transform;
pub use backend::Backend;
pub use dtype::DType;
pub use error::{Error, Location, Result, Section};
pub use limits::Limits;
