//! The choice of each tile: what predicts it, and what transforms its blocks.

use super::cost::{Costs, Counts};
use super::matrix::Matrix;
use crate::codec::tiles::context::{self, COEFFICIENT, Mode, PLAIN, PREDICTOR, RESIDUAL, TRANSFORMS};
use crate::codec::tiles::unit::Units;
use crate::format::TileShape;
use crate::predict::grid::Tile;
use crate::predict::tile::{Predictor, residual, to_signed};
use crate::transform::{self, Transform};

const ELEMENTS: usize = TileShape::ELEMENTS;

/// What tiles may choose among. `None` is always allowed, and is not listed.
#[derive(Clone, Copy)]
pub(super) struct Tools<'a> {
    pub(super) predictors: &'a [Predictor],
    pub(super) transforms: &'a [Transform],
}

impl Tools<'static> {
    pub(super) const PREDICTORS: Self =
        Self { predictors: &[Predictor::Left, Predictor::Top, Predictor::Average, Predictor::Planar], transforms: &[] };
    pub(super) const ALL: Self = Self { transforms: &[Transform::Dct, Transform::Adst], ..Self::PREDICTORS };
}

/// Chooses with the costs that it has learnt.
pub(super) struct Chooser<'a> {
    tools: Tools<'a>,
    costs: Costs,
    elements: [u64; ELEMENTS],
    residuals: [u64; ELEMENTS],
    signed: [i64; ELEMENTS],
    contexts: [u8; ELEMENTS],
}

impl<'a> Chooser<'a> {
    /// Learns from the tiles of a sample; also gives the counts of its last choices.
    pub(super) fn learn(matrix: &Matrix, sample: &[u64], tools: Tools<'a>, rounds: u32) -> (Self, Counts) {
        let mut chooser = Self {
            tools,
            costs: Costs::guess(&matrix.units, &Counts::default()),
            elements: [0; ELEMENTS],
            residuals: [0; ELEMENTS],
            signed: [0; ELEMENTS],
            contexts: [0; ELEMENTS],
        };
        let mut counts = Counts::default();
        let plain = Mode { predictor: Predictor::None, transforms: 0 };
        sample.iter().for_each(|&t| chooser.tokens(matrix, t, plain, |c, symbol, _, _| counts.add(c, symbol)));
        chooser.costs.update(&matrix.units, &counts);
        for _ in 0..rounds {
            counts = Counts::default();
            for &tile in sample {
                chooser.choose_and_count(matrix, tile, &mut counts);
            }
            chooser.costs.update(&matrix.units, &counts);
        }
        (chooser, counts)
    }

    /// The cheapest mode of a tile, whose symbols are counted.
    pub(super) fn choose_and_count(&mut self, matrix: &Matrix, tile: u64, counts: &mut Counts) -> Mode {
        let mode = self.choose(matrix, tile);
        counts.add(PREDICTOR, mode.predictor.code());
        counts.add(TRANSFORMS, mode.transforms);
        self.tokens(matrix, tile, mode, |context, symbol, _, _| counts.add(context, symbol));
        mode
    }

    fn choose(&mut self, matrix: &Matrix, tile: u64) -> Mode {
        let (tile, elements) = matrix.tile(tile, &mut self.elements);
        let mut best = (u64::MAX, Mode { predictor: Predictor::None, transforms: 0 });
        for &predictor in [Predictor::None].iter().chain(self.tools.predictors) {
            let signed = &mut self.signed[..elements.len()];
            predict(&matrix.units, &tile, predictor, elements, &mut self.residuals, signed);
            let (cost, transforms) = transforms(&self.costs, self.tools, &matrix.units, &tile, predictor, signed);
            let cost = cost + self.costs.of(PREDICTOR, predictor.code());
            if cost < best.0 {
                best = (cost, Mode { predictor, transforms });
            }
        }
        best.1
    }

    /// The symbols of a tile's units: context, symbol, raw bits and their number go to `put`.
    pub(super) fn tokens(&mut self, matrix: &Matrix, tile: u64, mode: Mode, mut put: impl FnMut(u8, u8, u64, u32)) {
        let (tile, elements) = matrix.tile(tile, &mut self.elements);
        let signed = &mut self.signed[..elements.len()];
        predict(&matrix.units, &tile, mode.predictor, elements, &mut self.residuals, signed);
        for (y, x, transform) in mode.blocks(&tile).filter(|b| b.2 != Transform::None) {
            let mut block = context::load_block(&tile, signed, y, x);
            transform::forward(transform, &mut block);
            context::store_block(&tile, signed, y, x, &block);
        }
        let contexts = &mut self.contexts[..signed.len()];
        mode.contexts(&tile, contexts);
        for (&value, &context) in signed.iter().zip(&*contexts) {
            let (symbol, raw, count) = matrix.units.split(context, value);
            put(context, symbol, raw, count);
        }
    }
}

/// The signed residuals of a tile.
fn predict(
    units: &Units,
    tile: &Tile,
    predictor: Predictor,
    elements: &[u64],
    residuals: &mut [u64; ELEMENTS],
    signed: &mut [i64],
) {
    let residuals = &mut residuals[..elements.len()];
    residual(predictor, elements, tile.width, units.bits(), residuals);
    signed.iter_mut().zip(&*residuals).for_each(|(s, &r)| *s = to_signed(predictor, r, units.bits()));
}

/// The cheapest transforms of signed residuals, and what the tile costs with them.
fn transforms(
    costs: &Costs,
    tools: Tools,
    units: &Units,
    tile: &Tile,
    predictor: Predictor,
    signed: &[i64],
) -> (u64, u8) {
    let unit = |value: i64| match predictor {
        Predictor::None => costs.of(PLAIN, units.split(PLAIN, value).0),
        _ => costs.number(RESIDUAL, value),
    };
    let plain = signed.iter().map(|&s| unit(s)).sum::<u64>();
    let without = plain + costs.of(TRANSFORMS, 0);
    if tools.transforms.is_empty() {
        return (without, 0);
    }
    let (mut code, mut weight, mut saved) = (0, 1, 0);
    for (y, x) in tile.blocks() {
        let block = context::load_block(tile, signed, y, x);
        let none = block.iter().map(|&s| unit(s)).sum::<u64>();
        let mut best = (none, Transform::None);
        for &transform in tools.transforms {
            let mut block = block;
            transform::forward(transform, &mut block);
            let cost = block.iter().zip(&COEFFICIENT).map(|(&c, &context)| costs.number(context, c)).sum();
            if cost < best.0 {
                best = (cost, transform);
            }
        }
        saved += none - best.0;
        code += weight * best.1.code();
        weight = weight.wrapping_mul(3);
    }
    let with = plain - saved + costs.of(TRANSFORMS, code);
    if with < without { (with, code) } else { (without, 0) }
}
