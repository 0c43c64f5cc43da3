//! Decoding of the `tiles` method.
use super::Problem;
use super::plan::Chunk;
use crate::backend::Backend;
use crate::dtype::DType;
use crate::format::TileShape;

#[derive(Debug)]
pub(super) struct TileCoder {}

impl TileCoder {
    pub(super) fn parse(_: DType, _: TileShape, _columns: usize, _prob: u32, _parameters: &[u8]) -> Result<Self, &'static str> {
        Err("not yet")
    }
    pub(super) fn decode(&self, _: Backend, chunk: &mut Chunk) -> Result<(), Problem> {
        Err(chunk.problem("not yet"))
    }
}
