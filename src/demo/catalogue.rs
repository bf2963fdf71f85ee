//! The streams of the demonstration and their clips, which `deploy/demo-media/make` makes.

use std::sync::Arc;
use std::time::Duration;

use super::clip::{Clip, ClipError};

/// One live stream.
#[derive(Debug)]
pub struct LiveStream {
    /// Its name, which begins with [`super::ORGANISATION`] and a `-`.
    pub name: &'static str,
    /// What it repeats.
    pub clip: Clip,
    /// The streams that show the same in other sizes, itself among them, best first: an ABR set.
    pub renditions: &'static [&'static str],
}

/// The names of the streams. The first two show the same hills in 640x360 and 320x180, the third another place.
pub const NAMES: [&str; 3] = [HILLS, HILLS_LOW, SEA];

const HILLS: &str = "demo1-camera1";
const HILLS_LOW: &str = "demo1-camera1-low";
const SEA: &str = "demo1-camera2";

/// Name, clip, and renditions of each stream.
const STREAMS: [(&str, &[u8], &[&str]); 3] = [
    (
        HILLS,
        include_bytes!("media/demo1-camera1.mp4"),
        &[HILLS, HILLS_LOW],
    ),
    (
        HILLS_LOW,
        include_bytes!("media/demo1-camera1-low.mp4"),
        &[HILLS_LOW],
    ),
    (SEA, include_bytes!("media/demo1-camera2.mp4"), &[SEA]),
];

/// All streams.
#[derive(Debug)]
pub struct Catalogue {
    streams: Vec<Arc<LiveStream>>,
    fragment_duration: Duration,
}

impl Catalogue {
    /// Reads the clips. They are part of the binary and tested, so that an error can only come with another set of
    /// clips, such as one whose fragments are not all equally long.
    pub fn load() -> Result<Self, ClipError> {
        let mut streams = Vec::with_capacity(STREAMS.len());
        for (name, bytes, renditions) in STREAMS {
            let clip = Clip::parse(bytes)?;
            streams.push(Arc::new(LiveStream {
                name,
                clip,
                renditions,
            }));
        }
        let mut durations = streams.iter().map(|stream| stream.clip.fragment_duration());
        let fragment_duration = durations.next().ok_or(ClipError::Empty)?;
        if durations.all(|duration| duration == fragment_duration) {
            Ok(Self {
                streams,
                fragment_duration,
            })
        } else {
            Err(ClipError::Uneven)
        }
    }

    /// The stream of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<LiveStream>> {
        self.streams.iter().find(|stream| stream.name == name)
    }

    /// How long a fragment of any of the streams is.
    #[must_use]
    pub fn fragment_duration(&self) -> Duration {
        self.fragment_duration
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clips_are_small() {
        let total: usize = STREAMS.iter().map(|(_, bytes, _)| bytes.len()).sum();
        assert!(total <= 1024 * 1024, "{total} bytes");
    }

    #[test]
    fn every_stream_belongs_to_the_organisation_and_has_a_picture_of_its_own() {
        let catalogue = Catalogue::load().unwrap();
        let names: Vec<_> = catalogue.streams.iter().map(|s| s.name).collect();
        assert_eq!(names, NAMES);
        let mut sizes = Vec::new();
        for stream in &catalogue.streams {
            let (organisation, _) = stream.name.split_once('-').unwrap();
            assert_eq!(organisation, crate::demo::ORGANISATION);
            assert!(stream.renditions.contains(&stream.name));
            assert!(stream.renditions.iter().all(|r| catalogue.get(r).is_some()));
            let picture = stream.clip.picture();
            let size = (picture.width, picture.height);
            assert!(!sizes.contains(&size), "{size:?} twice");
            sizes.push(size);
        }
    }

    #[test]
    fn renditions_have_their_keyframes_together() {
        let catalogue = Catalogue::load().unwrap();
        for stream in &catalogue.streams {
            for rendition in stream.renditions {
                let other = &catalogue.get(rendition).unwrap().clip;
                assert_eq!(other.group(), stream.clip.group());
                assert_eq!(other.fragments(), stream.clip.fragments());
            }
        }
    }
}
