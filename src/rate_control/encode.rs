//! From a model and a goal to a certified file.

use super::certify;
use super::journal::{self, Probes};
use super::means::{fits, held_out, suite};
use super::measuring::Measuring;
use super::place::{self, Place};
use super::probe::{Probe, holds};
use super::request::{Goal, Outcome, Probed, Request, Stage, Watch};
use super::search::{self, MOST_PROBES, Next};
use super::suite::Suite;
use crate::backend::Backend;
use crate::calibrate::{self, Statistics};
use crate::checkpoint::{self, Aim, Made, Order, uncalibrated};
use crate::encoder::{EncodeOptions, Report};
use crate::error::display;
use crate::eval::{Limits, ModelFiles};
use crate::format::certificate::Certificate;
use crate::{Error, Result};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Encodes a safetensors file, or a model's folder, so that a goal is met; of a folder only the files whose name
/// `wanted` takes. If something is to be measured, `config.json` and `tokenizer.json` must be beside the weights.
///
/// Limits that no file holds are no error: the outcome has the probes then, and no reports.
///
/// # Errors
/// As [`checkpoint::encode_lossy`] and [`calibrate::encode`](crate::calibrate::encode); [`Error::Usage`] if limits
/// have nothing to be measured on, or not enough of it; those of the evaluation.
pub fn encode(
    input: &Path,
    output: &Path,
    options: &EncodeOptions,
    request: &Request,
    watch: &Watch,
    wanted: &dyn Fn(&OsStr) -> bool,
) -> Result<Outcome> {
    let files = checkpoint::check_output(input, output, wanted)?;
    let reference = ModelFiles::original(input, wanted)?;
    let suite = suite(&reference, request)?;
    let mut lossy = request.lossy.clone();
    let has_bits = match request.goal {
        Goal::Bits(bits) => {
            lossy.bits = bits;
            true
        }
        Goal::Limits { .. } => false,
    };
    let takes = match &request.calibration {
        Some(_) => calibrate::takes(&reference)?,
        None => Box::new(checkpoint::large_matrix),
    };
    checkpoint::check(input, options, &lossy, takes, has_bits, wanted)?;
    let limit = request.calibration.as_ref().and_then(|c| c.memory);
    if let (Some(limit), Some(_)) = (limit, &suite) {
        fits(&reference, limit)?;
    }
    let statistics = match &request.calibration {
        None => None,
        Some(calibration) => {
            let mut calibration = calibration.clone();
            calibration.held_out = !held_out(request).is_empty();
            calibration.folder = calibration.folder.or_else(|| request.folder.clone());
            let progress = (watch.progress)(Stage::Calibrating);
            let both = [&*progress, &*progress];
            Some(Statistics::gather(&reference, &calibration, output, both)?)
        }
    };
    let backend = Backend::choose(options.backend)?;
    let quantiser = statistics.as_ref().map(|s| s.quantiser(backend)).transpose()?;
    let quantising = match &quantiser {
        Some(quantiser) => quantiser.quantising(),
        None => uncalibrated(backend),
    };
    let order = |aim, room| Order {
        lossy: &lossy,
        quantising: &quantising,
        aim,
        room,
        wanted,
    };
    let make = |aim: Aim, room: usize, to: &Path| {
        let progress = (watch.progress)(Stage::Encoding);
        let made = checkpoint::encode_with(input, to, options, &order(aim, room), &*progress)?;
        if let Some(quantiser) = &quantiser {
            quantiser.warn(&*progress);
        }
        Ok::<_, Error>(made)
    };
    let outcome = match &suite {
        None => {
            let (reports, _) = make(Aim::Bits, 0, output)?;
            Outcome {
                reports: Some(reports),
                probes: Vec::new(),
                best: None,
                certificate: None,
            }
        }
        Some(suite) => {
            let place = Place::beside(output, input.is_dir())?;
            let run = Run {
                request,
                watch,
                suite,
                reference: &reference,
                weights: reference.digest()?,
                statistics: statistics.as_ref(),
                effort: options.effort.name(),
                place: &place,
                files,
                make: &make,
            };
            match run.all() {
                Ok(outcome) => {
                    place.close()?;
                    outcome
                }
                Err(e) => {
                    // What went wrong first is what is said.
                    let _ = place.leave();
                    return Err(e);
                }
            }
        }
    };
    if let Some(statistics) = &statistics {
        statistics.delete()?;
    }
    Ok(outcome)
}

/// The folders that have what a run found which did not end, of this output and request: the same order goes on with it.
pub fn left_behind(output: &Path, request: &Request) -> Vec<PathBuf> {
    let mut folders = vec![place::folder(output)];
    folders.extend(request.calibration.as_ref().map(|c| c.statistics(output)));
    folders.extend(request.folder.clone());
    folders.retain(|folder| folder.is_dir());
    folders
}

/// Makes a file or folder; gives the strength too.
type Make<'a> = dyn Fn(Aim, usize, &Path) -> Result<(Vec<Report>, f64)> + 'a;

pub(super) struct Run<'a> {
    pub(super) request: &'a Request,
    watch: &'a Watch<'a>,
    pub(super) suite: &'a Suite,
    pub(super) reference: &'a ModelFiles,
    /// Digest of the reference's weights.
    weights: String,
    pub(super) statistics: Option<&'a Statistics>,
    pub(super) effort: &'static str,
    place: &'a Place,
    /// Files that are made.
    files: usize,
    make: &'a Make<'a>,
}

impl Run<'_> {
    fn all(&self) -> Result<Outcome> {
        let (limits, accept_uncertain) = match self.request.goal {
            Goal::Bits(_) => (Limits::default(), false),
            Goal::Limits {
                limits,
                accept_uncertain,
            } => (limits, accept_uncertain),
        };
        let calibration = self.request.calibration.as_ref();
        let folder = calibration
            .and_then(|c| c.folder.as_deref())
            .or(self.request.folder.as_deref());
        let folder = folder.unwrap_or(self.place.folder());
        std::fs::create_dir_all(folder).map_err(Error::io(format!("making folder {}", display(folder))))?;
        let blank = certify::blank(self)?;
        let identity = self.identity(&blank);
        let (mut journal, mut known) = Probes::open(folder, &identity)?;
        let mut models = Measuring::new(journal::reference(folder, &identity));
        let room = certify::room(&blank, self.suite, self.files);
        let mut probes: Vec<Probe> = Vec::new();
        let best = loop {
            let points: Vec<_> = probes.iter().map(|p| p.point(&limits, accept_uncertain)).collect();
            let aim = match self.request.goal {
                Goal::Bits(_) if points.is_empty() => Aim::Bits,
                Goal::Bits(_) => break Some(0),
                _ if points.is_empty() => Aim::Near(first_bits(&limits)),
                _ => match search::next(&points, MOST_PROBES - points.len()) {
                    Next::At(strength) => Aim::Strength(strength),
                    Next::Never(_) => break None,
                    Next::Done(best) if probes[best].made.is_some() => break Some(best),
                    // Of an earlier run, which left no files.
                    Next::Done(best) => {
                        if self.make_again(&mut probes[best], room, best)? {
                            break Some(best);
                        }
                        // Made by another build of this version, perhaps: what was found before is of no use.
                        known.clear();
                        self.drop_all(&mut probes)?;
                        continue;
                    }
                },
            };
            // Probes of earlier runs answer what is asked; what is asked next does not depend on them.
            let began = Instant::now();
            let answer = known.iter().rev().find(|p| p.answers(aim, room)).cloned();
            let is_known = answer.is_some();
            let mut probe = match answer {
                Some(probe) => probe,
                None => {
                    let path = self.place.probe(probes.len());
                    let mut probe = self.make_one(aim, room, &path)?;
                    match known.iter().rev().find(|p| p.files == probe.files) {
                        Some(same) => (probe.texts, probe.tasks) = (same.texts.clone(), same.tasks.clone()),
                        None => {
                            (probe.texts, probe.tasks) =
                                self.suite.measure(models.of(self.reference, &path)?, self.watch)?;
                        }
                    }
                    probe.seconds = began.elapsed().as_secs_f64();
                    journal.add(&probe)?;
                    probe
                }
            };
            probe.seconds = began.elapsed().as_secs_f64();
            probes.push(probe);
            self.tell(&probes, &limits, accept_uncertain, is_known);
            self.drop_others(&mut probes, &limits, accept_uncertain)?;
        };
        models.finish()?;
        self.end(probes, best, &blank, &limits, accept_uncertain)
    }

    /// Writes what was found, if something was.
    fn end(
        &self,
        probes: Vec<Probe>,
        best: Option<usize>,
        blank: &Certificate,
        limits: &Limits,
        accept_uncertain: bool,
    ) -> Result<Outcome> {
        let nearest = || {
            let by = |i: &usize, j: &usize| probes[*i].strength().total_cmp(&probes[*j].strength());
            (0..probes.len()).min_by(by)
        };
        let (mut reports, mut certificate) = (None, None);
        let chosen = best.map(|i| &probes[i]);
        if let Some((probe, (path, made))) = chosen.and_then(|p| Some((p, p.made.as_ref()?))) {
            let full = certify::fill(blank, probe);
            checkpoint::certify(&checkpoint::encoded_files(path)?, &full)?;
            self.place.publish(path)?;
            (reports, certificate) = (Some(made.clone()), Some(full));
        }
        let best = best.or_else(nearest);
        let checked = |p: Probe| {
            let checks = p.checks(limits);
            let held = holds(&checks, accept_uncertain);
            (p, checks, held)
        };
        Ok(Outcome {
            best,
            reports,
            certificate,
            probes: probes.into_iter().map(checked).collect(),
        })
    }

    /// What probes depend on besides their strength.
    fn identity(&self, blank: &Certificate) -> Value {
        json!({
            "writer": blank.writer,
            "weights": self.weights,
            "calibration": self.statistics.map(|s| &s.key),
            "effort": self.effort,
            "lossless": self.request.lossy.lossless,
            "rates": self.request.lossy.rates,
            "keep head": self.request.lossy.keep_head,
            "config": blank.config,
            "tokenizer": blank.tokenizer,
            "measured on": self.suite.key(),
            // The reference's states are of one kind of processor.
            "cpu": format!("{} {:?}", std::env::consts::ARCH, Backend::available().last()),
        })
    }

    fn make_one(&self, aim: Aim, room: usize, path: &Path) -> Result<Probe> {
        let (reports, strength) = (self.make)(aim, room, path)?;
        let made = Made::of(&checkpoint::encoded_files(path)?)?;
        Ok(Probe {
            strength: strength.to_bits(),
            near: match aim {
                Aim::Near(bits) => Some(bits.to_bits()),
                _ => None,
            },
            room,
            files: made.files,
            bytes: made.bytes,
            bits: made.bits,
            quantised_bits: made.quantised_bits,
            texts: Vec::new(),
            tasks: Vec::new(),
            seconds: 0.0,
            made: Some((path.to_owned(), reports)),
        })
    }

    /// Makes the files of a probe that is known from an earlier run; whether they are what they were then.
    fn make_again(&self, probe: &mut Probe, room: usize, number: usize) -> Result<bool> {
        let path = self.place.probe(number);
        let again = self.make_one(Aim::Strength(probe.strength()), room, &path)?;
        let same = again.files == probe.files && again.bytes == probe.bytes;
        probe.made = again.made;
        Ok(same)
    }

    fn tell(&self, probes: &[Probe], limits: &Limits, accept_uncertain: bool, known: bool) {
        let Some(probe) = probes.last() else { return };
        let points: Vec<_> = probes.iter().map(|p| p.point(limits, accept_uncertain)).collect();
        let checks = probe.checks(limits);
        let left = match self.request.goal {
            Goal::Bits(_) => 0,
            Goal::Limits { .. } => search::likely(&points),
        };
        (self.watch.probed)(&Probed {
            probe,
            number: probes.len(),
            known,
            holds: holds(&checks, accept_uncertain),
            checks: &checks,
            left: Duration::from_secs_f64(probe.seconds.min(1e6)) * left as u32,
        });
    }

    /// Forgets all probes, with their files.
    fn drop_all(&self, probes: &mut Vec<Probe>) -> Result<()> {
        let mut made = probes.drain(..).filter_map(|probe| probe.made);
        made.try_for_each(|(path, _)| self.place.delete(&path))
    }

    /// Deletes the files of all probes but the one that would be written now.
    fn drop_others(&self, probes: &mut [Probe], limits: &Limits, accept_uncertain: bool) -> Result<()> {
        if matches!(self.request.goal, Goal::Bits(_)) {
            return Ok(());
        }
        let points: Vec<_> = probes.iter().map(|p| p.point(limits, accept_uncertain)).collect();
        let best = match search::next(&points, 0) {
            Next::Done(best) => Some(best),
            _ => None,
        };
        for (i, probe) in probes.iter_mut().enumerate() {
            if best != Some(i)
                && let Some((path, _)) = probe.made.take()
            {
                self.place.delete(&path)?;
            }
        }
        Ok(())
    }
}

/// Bits a weight of the quantised tensors to begin with.
fn first_bits(limits: &Limits) -> f64 {
    let divergence = limits.divergence.map(search::first_bits);
    // A perplexity rises by about as much as the divergence, as a part of it.
    let increase = limits.perplexity_increase.map(|p| search::first_bits(p / 100.0));
    let drop = limits.accuracy_drop.map(|d| search::first_bits(d / 20.0));
    let bits = [divergence, increase, drop].into_iter().flatten();
    bits.fold(2.0, f64::max)
}
