use proptest::prelude::*;

use super::*;

/// Every tile by stepping over the matrix.
fn brute_force(rows: u64, columns: u64, shape: TileShape) -> Vec<Tile> {
    let mut tiles = Vec::new();
    let mut row = 0;
    while row < rows {
        let height = (rows - row).min(shape.height() as u64) as usize;
        let mut column = 0;
        while column < columns {
            let width = (columns - column).min(shape.width() as u64) as usize;
            tiles.push(Tile {
                row,
                column,
                height,
                width,
            });
            column += width as u64;
        }
        row += height as u64;
    }
    tiles
}

fn grid(rows: u64, columns: u64, shape: TileShape) -> TileGrid {
    TileGrid::new(rows, columns, shape).expect("the elements are countable")
}

#[test]
fn small_grids_match_brute_force() {
    for shape in TileShape::ALL {
        for rows in (0..=35).chain([63, 64, 65, 100]) {
            for columns in (0..=35).chain([63, 64, 65, 100]) {
                let grid = grid(rows, columns, shape);
                let tiles = brute_force(rows, columns, shape);
                assert_eq!(grid.tiles(), tiles.len() as u64, "{rows}x{columns}");
                let mut before = vec![0];
                for (i, tile) in (0..).zip(&tiles) {
                    assert_eq!(grid.tile(i), Some(*tile), "{rows}x{columns} tile {i}");
                    before.push(before[i as usize] + tile.elements() as u64);
                }
                assert_eq!(grid.tile(grid.tiles()), None);
                for (i, &count) in (0..).zip(&before) {
                    assert_eq!(grid.elements_before(i), Some(count), "{rows}x{columns}");
                }
                assert_eq!(grid.elements_before(grid.tiles() + 1), None);
                assert_eq!(before.last(), Some(&(rows * columns)));
            }
        }
    }
}

proptest! {
    #[test]
    fn ranges_match_brute_force(
        rows in 0u64..200,
        columns in 0u64..200,
        shape in prop::sample::select(TileShape::ALL.to_vec()),
        ends: (prop::sample::Index, prop::sample::Index),
    ) {
        let grid = grid(rows, columns, shape);
        let tiles = brute_force(rows, columns, shape);

        let (a, b) = (ends.0.index(tiles.len() + 1), ends.1.index(tiles.len() + 1));
        let (a, b) = (a.min(b), a.max(b));
        let elements: usize = tiles[a..b].iter().map(Tile::elements).sum();
        prop_assert_eq!(grid.elements_in(a as u64..b as u64), Some(elements as u64));
        if a < b {
            prop_assert_eq!(grid.elements_in(b as u64..a as u64), None);
        }

        let (r, s) = (ends.0.index(rows as usize + 1), ends.1.index(rows as usize + 1));
        let wanted = r.min(s) as u64..r.max(s) as u64;
        let covering = grid.tiles_of_rows(wanted.clone()).expect("inside the matrix");
        for (i, tile) in (0..).zip(&tiles) {
            let end = tile.row + tile.height as u64;
            let overlaps = tile.row < wanted.end && wanted.start < end;
            prop_assert_eq!(covering.contains(&i), overlaps && !wanted.is_empty());
        }
        prop_assert_eq!(grid.tile_rows(0..rows + 1), None);
    }
}

#[test]
fn large_grids_do_not_overflow() {
    let sizes = [
        (1_000_000_000, 1000),
        (1000, 1_000_000_000),
        (u64::MAX, 1),
        (1, u64::MAX),
        (u64::from(u32::MAX), u64::from(u32::MAX) + 2),
    ];
    for (rows, columns) in sizes {
        for shape in TileShape::ALL {
            let grid = grid(rows, columns, shape);
            let last = grid.tile(grid.tiles() - 1).expect("the last tile exists");
            assert_eq!(last.row + last.height as u64, rows);
            assert_eq!(last.column + last.width as u64, columns);
            assert_eq!(grid.elements_in(0..grid.tiles()), Some(rows * columns));
            assert_eq!(
                grid.elements_in(grid.tiles() - 1..grid.tiles()),
                Some(last.elements() as u64)
            );
            assert_eq!(grid.tile_rows(rows - 1..rows), {
                let row = last.row / shape.height() as u64;
                Some(row..row + 1)
            });
            assert_eq!(grid.tiles_of_rows(0..rows), Some(0..grid.tiles()));
        }
    }
    // 10^9 x 1000 in 16x16 tiles: 62 500 000 x 63, the last of each 63 being 8 wide.
    let grid = grid(1_000_000_000, 1000, TileShape::T16x16);
    assert_eq!(grid.tiles(), 62_500_000 * 63);
    assert_eq!(grid.elements_in(62..63), Some(16 * 8));
    assert_eq!(grid.elements_in(62..126), Some(16 * 8 + 16 * 1000));
}

#[test]
fn uncountable_matrices_are_refused() {
    assert_eq!(TileGrid::new(1 << 32, 1 << 32, TileShape::T8x32), None);
    assert_eq!(TileGrid::new(u64::MAX, 2, TileShape::T8x32), None);
    let empty = grid(u64::MAX, 0, TileShape::T32x8);
    assert_eq!((empty.tiles(), empty.elements()), (0, 0));
    assert_eq!(empty.tiles_of_rows(5..9), Some(0..0));
    assert_eq!(empty.elements_in(0..0), Some(0));
}

#[test]
fn only_complete_blocks_are_listed() {
    let tile = |height, width| Tile {
        row: 0,
        column: 0,
        height,
        width,
    };
    let blocks = |height, width| tile(height, width).blocks().collect::<Vec<_>>();
    assert_eq!(blocks(16, 16), [(0, 0), (0, 8), (8, 0), (8, 8)]);
    assert_eq!(blocks(8, 32), [(0, 0), (0, 8), (0, 16), (0, 24)]);
    assert_eq!(blocks(15, 17), [(0, 0), (0, 8)]);
    assert_eq!(blocks(32, 7), []);
}

#[test]
fn shapes_have_256_elements() {
    for shape in TileShape::ALL {
        assert_eq!(shape.height() * shape.width(), TileShape::ELEMENTS);
    }
    assert_eq!((TileShape::T8x32.height(), TileShape::T8x32.width()), (8, 32));
    assert_eq!((TileShape::T32x8.height(), TileShape::T32x8.width()), (32, 8));
}
