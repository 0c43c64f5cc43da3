//! The choice of each tile: what predicts it, and what transforms its blocks.

use super::cost::{Costs, Counts};
use super::matrix::Matrix;
use crate::codec::tiles::context::{self, COEFFICIENT, Mode, PLAIN, PREDICTOR, RESIDUAL, TRANSFORMS};
use crate::codec::tiles::unit::Units;
use crate::cost::COST_BITS;
use crate::format::TileShape;
use crate::predict::grid::Tile;
use crate::predict::tile::{Predictor, residual, to_signed};
use crate::transform::{self, Transform};

const ELEMENTS: usize = TileShape::ELEMENTS;
/// Where prediction loses this much a unit, a tile is noise.
const NOISE: u64 = 1 << (COST_BITS - 1);

/// What tiles may choose among. `None` is always allowed, and is not listed.
#[derive(Clone, Copy)]
pub(super) struct Tools<'a> {
    pub(super) predictors: &'a [Predictor],
    pub(super) transforms: &'a [Transform],
}

impl Tools<'static> {
    pub(super) const PREDICTORS: Self = Self {
        predictors: &[Predictor::Left, Predictor::Top, Predictor::Average, Predictor::Planar],
        transforms: &[],
    };
    pub(super) const ALL: Self = Self {
        transforms: &[Transform::Dct, Transform::Adst],
        ..Self::PREDICTORS
    };
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
        let plain = Mode {
            predictor: Predictor::None,
            transforms: 0,
        };
        sample
            .iter()
            .for_each(|&t| chooser.tokens(matrix, t, plain, |c, symbol, _, _| counts.add(c, symbol)));
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
        let pricing = Pricing {
            costs: &self.costs,
            units: &matrix.units,
            tile,
        };
        let signed = &mut self.signed[..elements.len()];
        let residuals = &mut self.residuals;
        let mut price = |predictor, transforms: &[Transform]| {
            predict(&matrix.units, &tile, predictor, elements, residuals, signed);
            pricing.cheapest(predictor, transforms, signed)
        };
        let none = price(Predictor::None, &[]);
        let predicted = self.tools.predictors.iter().map(|&p| price(p, &[])).min_by_key(|p| p.0);
        let best = predicted.filter(|p| p.0 < none.0).unwrap_or(none);
        let transforms = self.tools.transforms;
        // Transforms take most of the time. They gain where neighbours are alike, which shows in
        // what prediction gains, and best after no prediction or the best one.
        let noise = predicted.is_some_and(|p| p.0 > none.0 + NOISE * elements.len() as u64);
        if transforms.is_empty() || noise {
            return best.1;
        }
        let tried = [Some(none), predicted]
            .into_iter()
            .flatten()
            .map(|p| price(p.1.predictor, transforms));
        tried
            .fold(best, |best, tried| if tried.0 < best.0 { tried } else { best })
            .1
    }

    /// The symbols of a tile's units: context, symbol, raw bits and their number go to `put`.
    pub(super) fn tokens(&mut self, matrix: &Matrix, tile: u64, mode: Mode, mut put: impl FnMut(u8, u8, u64, u32)) {
        let (tile, elements) = matrix.tile(tile, &mut self.elements);
        let signed = &mut self.signed[..elements.len()];
        predict(
            &matrix.units,
            &tile,
            mode.predictor,
            elements,
            &mut self.residuals,
            signed,
        );
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
    signed
        .iter_mut()
        .zip(&*residuals)
        .for_each(|(s, &r)| *s = to_signed(predictor, r, units.bits()));
}

/// What the ways to code a tile cost.
struct Pricing<'a> {
    costs: &'a Costs,
    units: &'a Units,
    tile: Tile,
}

impl Pricing<'_> {
    /// What an untransformed unit costs.
    #[inline(always)]
    fn unit(&self, predictor: Predictor, value: i64) -> u64 {
        match predictor {
            Predictor::None => self.costs.of(PLAIN, self.units.split(PLAIN, value).0),
            _ => self.costs.number(RESIDUAL, value),
        }
    }

    /// What the signed residuals of a predictor cost with the cheapest of some transforms.
    fn cheapest(&self, predictor: Predictor, transforms: &[Transform], signed: &[i64]) -> (u64, Mode) {
        let units = signed.iter().map(|&s| self.unit(predictor, s)).sum::<u64>();
        let mode = |cost: u64, transforms: u8| {
            let codes = self.costs.of(PREDICTOR, predictor.code()) + self.costs.of(TRANSFORMS, transforms);
            (cost + codes, Mode { predictor, transforms })
        };
        let without = mode(units, 0);
        if transforms.is_empty() {
            return without;
        }
        let (mut code, mut weight, mut saved) = (0, 1, 0);
        for (y, x) in self.tile.blocks() {
            let block = context::load_block(&self.tile, signed, y, x);
            let none = block.iter().map(|&s| self.unit(predictor, s)).sum::<u64>();
            let mut best = (none, Transform::None);
            for &transform in transforms {
                let mut block = block;
                transform::forward(transform, &mut block);
                let cost = block
                    .iter()
                    .zip(&COEFFICIENT)
                    .map(|(&c, &context)| self.costs.number(context, c))
                    .sum();
                if cost < best.0 {
                    best = (cost, transform);
                }
            }
            saved += none - best.0;
            code += weight * best.1.code();
            weight = weight.wrapping_mul(3);
        }
        let with = mode(units - saved, code);
        if with.0 < without.0 { with } else { without }
    }
}
