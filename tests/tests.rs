#[cfg(test)]
mod raw_video;
