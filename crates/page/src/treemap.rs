//! Areas that are as large as what they stand for (Bruls, Huizing, van Wijk: Squarified Treemaps, 2000).

/// A rectangle, in the picture's units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Area {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl Area {
    /// The same without so much at the top, and a margin at all sides.
    pub(crate) fn inside(self, top: f64, margin: f64) -> Self {
        let width = (self.width - 2.0 * margin).max(0.0);
        let height = (self.height - top - 2.0 * margin).max(0.0);
        Self { x: self.x + margin, y: self.y + top + margin, width, height }
    }
}

/// Divides `area` among `weights`: each gets one as large as its part of all, as near to a square as the others leave it,
/// the heaviest first from the upper left. In the order of the weights; one without weight gets nothing.
pub(crate) fn divided(weights: &[u64], area: Area) -> Vec<Area> {
    let mut order: Vec<usize> = (0..weights.len()).filter(|place| weights[*place] > 0).collect();
    order.sort_by_key(|place| (std::cmp::Reverse(weights[*place]), *place));
    let nothing = Area { width: 0.0, height: 0.0, ..area };
    let mut areas = vec![nothing; weights.len()];
    let sum: f64 = order.iter().map(|place| weights[*place] as f64).sum();
    let scale = area.width * area.height / sum.max(1.0);
    let sizes: Vec<f64> = order.iter().map(|place| weights[*place] as f64 * scale).collect();
    let (mut rest, mut first) = (area, 0);
    while first < sizes.len() {
        let side = rest.width.min(rest.height);
        let mut end = first + 1;
        while end < sizes.len() && worst(&sizes[first..=end], side) <= worst(&sizes[first..end], side) {
            end += 1;
        }
        let row = laid(&sizes[first..end], &mut rest);
        order[first..end].iter().zip(row).for_each(|(place, area)| areas[*place] = area);
        first = end;
    }
    areas
}

/// How far from a square the worst of a row is, which lies along a side of that length.
fn worst(row: &[f64], side: f64) -> f64 {
    let sum: f64 = row.iter().sum();
    let largest = row.iter().copied().fold(0.0, f64::max);
    let smallest = row.iter().copied().fold(f64::INFINITY, f64::min);
    let (side, sum) = (side * side, sum * sum);
    (side * largest / sum).max(sum / (side * smallest))
}

/// Lays a row along the shorter side of what is left, and takes it off that.
fn laid(row: &[f64], rest: &mut Area) -> Vec<Area> {
    let sum: f64 = row.iter().sum();
    let stands = rest.width >= rest.height;
    let side = if stands { rest.height } else { rest.width };
    let depth = if side > 0.0 { sum / side } else { 0.0 };
    let mut along = 0.0;
    let mut areas = Vec::with_capacity(row.len());
    for size in row {
        let length = if sum > 0.0 { side * size / sum } else { 0.0 };
        areas.push(match stands {
            true => Area { x: rest.x, y: rest.y + along, width: depth, height: length },
            false => Area { x: rest.x + along, y: rest.y, width: length, height: depth },
        });
        along += length;
    }
    match stands {
        true => *rest = Area { x: rest.x + depth, width: (rest.width - depth).max(0.0), ..*rest },
        false => *rest = Area { y: rest.y + depth, height: (rest.height - depth).max(0.0), ..*rest },
    }
    areas
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Area = Area { x: 10.0, y: 20.0, width: 600.0, height: 400.0 };

    fn overlap(one: &Area, other: &Area) -> f64 {
        let length = |a: f64, a_length: f64, b: f64, b_length: f64| {
            ((a + a_length).min(b + b_length) - a.max(b)).max(0.0)
        };
        length(one.x, one.width, other.x, other.width) * length(one.y, one.height, other.y, other.height)
    }

    #[test]
    fn areas_are_as_large_as_their_weights_inside_the_whole_and_apart() {
        for weights in
            [&[6, 6, 4, 3, 2, 2, 1][..], &[1], &[1, 1_000_000], &[5; 100], &[0, 3, 0, 9], &[3, 1, 2]]
        {
            let areas = divided(weights, WHOLE);
            let sum: u64 = weights.iter().sum();
            for (weight, area) in weights.iter().zip(&areas) {
                let expected = *weight as f64 / sum as f64 * WHOLE.width * WHOLE.height;
                assert!((area.width * area.height - expected).abs() < 0.01, "{weights:?}: {area:?}");
                assert!(area.x >= 10.0 - 1e-6 && area.x + area.width <= 610.0 + 1e-6, "{area:?}");
                assert!(area.y >= 20.0 - 1e-6 && area.y + area.height <= 420.0 + 1e-6, "{area:?}");
            }
            for (place, one) in areas.iter().enumerate() {
                assert!(areas.iter().skip(place + 1).all(|other| overlap(one, other) < 0.01), "{weights:?}");
            }
        }
    }

    #[test]
    fn the_example_of_those_who_found_it_out_comes_out_as_theirs() {
        let areas = divided(&[6, 6, 4, 3, 2, 2, 1], Area { x: 0.0, y: 0.0, width: 6.0, height: 4.0 });
        let near = |area: Area, [x, y, width, height]: [f64; 4]| {
            let differences = [area.x - x, area.y - y, area.width - width, area.height - height];
            assert!(differences.iter().all(|difference| difference.abs() < 1e-9), "{area:?}");
        };
        near(areas[0], [0.0, 0.0, 3.0, 2.0]);
        near(areas[1], [0.0, 2.0, 3.0, 2.0]);
        near(areas[2], [3.0, 0.0, 12.0 / 7.0, 7.0 / 3.0]);
        near(areas[3], [3.0 + 12.0 / 7.0, 0.0, 9.0 / 7.0, 7.0 / 3.0]);
    }

    #[test]
    fn nothing_to_divide_is_no_areas_and_no_room_is_areas_without_size() {
        assert!(divided(&[], WHOLE).is_empty());
        assert!(divided(&[0, 0], WHOLE).iter().all(|area| area.width == 0.0));
        let areas = divided(&[1, 2], Area { width: 0.0, ..WHOLE });
        assert!(areas.iter().all(|area| area.width.is_finite() && area.height.is_finite()), "{areas:?}");
    }
}
