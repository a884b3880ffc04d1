mod raw_video;
