//! Decoding times made anew from presentation times, for packets in the order of decoding.
//!
//! The k-th packet is decoded when the k-th picture in the order of showing is shown, less one delay for all, the
//! smallest with which no packet is decoded after it is shown. So dts rise as strictly as pts.

/// The presentation times in the order of showing.
pub fn shown(pts: impl IntoIterator<Item = i64>) -> Vec<i64> {
    let mut times: Vec<i64> = pts.into_iter().collect();
    times.sort_unstable();
    times
}

/// The smallest delay with which none of these packets is decoded after it is shown, in ticks.
pub fn delay(pts: &[i64]) -> i64 {
    shown(pts.iter().copied()).iter().zip(pts).map(|(shown, pts)| shown - pts).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_packet_is_decoded_after_it_is_shown_and_one_is_in_time() {
        assert_eq!((delay(&[]), delay(&[7]), delay(&[0, 1, 2])), (0, 0, 0));
        let pts = [0, 4, 2, 1, 3, 8, 6, 5];
        let slack: Vec<i64> = shown(pts).iter().zip(pts).map(|(shown, at)| at - (shown - delay(&pts))).collect();
        assert!(slack.iter().all(|slack| *slack >= 0) && slack.contains(&0), "{slack:?}");
    }
}
