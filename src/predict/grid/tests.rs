use super::*;

/// Every tile by stepping over the matrix.
fn brute_force(rows: u64, columns: u64, shape: TileShape) -> Vec<Tile> {
    let mut tiles = Vec::new();
    for row in (0..rows).step_by(shape.height()) {
        for column in (0..columns).step_by(shape.width()) {
            tiles.push(Tile {
                row,
                column,
                height: (rows - row).min(shape.height() as u64) as usize,
                width: (columns - column).min(shape.width() as u64) as usize,
            });
        }
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
                let tiles = brute_force(rows, if rows == 0 { 0 } else { columns }, shape);
                let got: Vec<Tile> = (0..grid.tiles()).filter_map(|i| grid.tile(i)).collect();
                assert_eq!(got, tiles, "{rows}x{columns}");
                assert_eq!(grid.tile(grid.tiles()), None);
                assert_eq!(got.iter().map(|t| t.elements() as u64).sum::<u64>(), grid.elements());
            }
        }
    }
}

#[test]
fn large_grids_do_not_overflow() {
    assert!(TileGrid::new(u64::MAX, 2, TileShape::T16x16).is_none());
    let grid = grid(1_000_000_007, 1003, TileShape::T8x32);
    assert_eq!((grid.across(), grid.down()), (32, 125_000_001));
    let last = grid.tile(grid.tiles() - 1).expect("there is a last tile");
    assert_eq!(
        (last.row, last.column, last.height, last.width),
        (1_000_000_000, 992, 7, 11)
    );
}

#[test]
fn blocks_are_complete_squares() {
    let blocks = |height, width| {
        let tile = Tile {
            row: 0,
            column: 0,
            height,
            width,
        };
        tile.blocks().collect::<Vec<_>>()
    };
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
}
