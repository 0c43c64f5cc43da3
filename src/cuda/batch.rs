//! What one call to the GPU decodes: chunks of any tensors, laid out in one piece of its memory.
//!
//! ```text
//! tensors | chunks | items | reports | tables, scale steps, ... | payloads | scratch
//! <------------------------- uploaded at once ----------------------------->
//! ```

use super::launch::{GpuSize, Launch, plan_launches};
use super::part::Part;
use crate::codec::device::{Description, launch::Kernel, status, wire};
use crate::error::{Error, Result};
use crate::{Tensor, limits::MAX_CHUNKS_AT_ONCE};
use std::ops::Range;

/// Sections start at multiples of this: what allocators align to, and more than any kernel needs.
const ALIGNMENT: u64 = 256;
/// At least so far apart, so that a test sees a kernel go past the end of one.
const GAP: u64 = 16;

/// Where the sections of a part are, from the start of the batch's memory; empty for what there is not.
struct Sections {
    tables: Range<u64>,
    rows: Range<u64>,
    columns: Range<u64>,
    classes: Range<u64>,
    row_factors: Range<u64>,
    column_factors: Range<u64>,
    payload: Range<u64>,
    scratch: Range<u64>,
}

/// A part, and what kernels need to know of it.
struct Job<'d> {
    part: Part<'d>,
    description: Description,
    sections: Sections,
    /// Its first chunk among those of the batch.
    first: u32,
}

/// Parts that are decoded together.
pub struct Batch<'d> {
    jobs: Vec<Job<'d>>,
    launches: Vec<Launch>,
    items: Vec<wire::Item>,
    tensors_at: Range<u64>,
    chunks_at: Range<u64>,
    items_at: Range<u64>,
    reports_at: Range<u64>,
    uploaded: u64,
    len: u64,
}

/// Lays out sections one after the other.
struct Cursor(u64);

impl Cursor {
    fn take(&mut self, len: u64) -> Range<u64> {
        if len == 0 {
            return 0..0;
        }
        let start = self.0;
        self.0 = (start + len + GAP).next_multiple_of(ALIGNMENT);
        start..start + len
    }
}

impl<'d> Batch<'d> {
    /// Plans a batch for a GPU. Reads nothing.
    ///
    /// # Errors
    /// [`Error::Usage`] if there are more than 2^28 chunks.
    pub fn new(parts: Vec<Part<'d>>, gpu: GpuSize) -> Result<Self> {
        let count: u64 = parts.iter().map(|p| p.chunks.end - p.chunks.start).sum();
        if count > MAX_CHUNKS_AT_ONCE {
            return Err(Error::usage(format!("{count} chunks are too many for one batch")));
        }
        let descriptions: Vec<Description> = parts.iter().map(|p| p.plan().describe(p.chunks.clone())).collect();
        let mut kernels: Vec<(Kernel, u32)> = descriptions
            .iter()
            .map(|d| (d.kernel, 4 * d.tables.len() as u32))
            .collect();
        let counts: Vec<u32> = parts.iter().map(|p| (p.chunks.end - p.chunks.start) as u32).collect();
        let (launches, items) = plan_launches(&mut kernels, &counts, gpu);

        let mut cursor = Cursor(0);
        let tensors_at = cursor.take(parts.len() as u64 * size_of::<wire::Tensor>() as u64);
        let chunks_at = cursor.take(count * size_of::<wire::Chunk>() as u64);
        let items_at = cursor.take(items.len() as u64 * size_of::<wire::Item>() as u64);
        let reports_at = cursor.take(count * size_of::<wire::Report>() as u64);
        let mut first = 0;
        let mut jobs: Vec<Job> = Vec::with_capacity(parts.len());
        for (part, description) in parts.into_iter().zip(descriptions) {
            let sections = Sections {
                tables: cursor.take(4 * description.tables.len() as u64),
                rows: cursor.take(description.rows.len() as u64),
                columns: cursor.take(description.columns.len() as u64),
                classes: cursor.take(description.classes.len() as u64),
                row_factors: cursor.take(description.row_factors.len() as u64),
                column_factors: cursor.take(description.column_factors.len() as u64),
                payload: cursor.take(if part.resident.is_some() { 0 } else { part.encoded_len() }),
                scratch: 0..0,
            };
            let chunks = (part.chunks.end - part.chunks.start) as u32;
            jobs.push(Job {
                part,
                description,
                sections,
                first,
            });
            first += chunks;
        }
        let uploaded = cursor.0;
        for job in &mut jobs {
            let tiles = |chunk| job.description.tiles(job.part.plan().chunk(chunk).0);
            let bytes = 2 * job.part.chunks.clone().map(tiles).sum::<u64>();
            job.sections.scratch = cursor.take(bytes);
        }
        Ok(Self {
            jobs,
            launches,
            items,
            tensors_at,
            chunks_at,
            items_at,
            reports_at,
            uploaded,
            len: cursor.0,
        })
    }

    /// Bytes of device memory that it takes, besides the outputs; it must start at a multiple of 256.
    pub fn device_len(&self) -> u64 {
        self.len
    }

    /// Bytes at the start of them that are uploaded.
    pub fn upload_len(&self) -> u64 {
        self.uploaded
    }

    /// Chunks of all parts.
    pub fn chunks(&self) -> u64 {
        (self.reports_at.end - self.reports_at.start) / size_of::<wire::Report>() as u64
    }

    /// Bytes that each part decodes to, in order.
    pub fn output_lens(&self) -> impl Iterator<Item = u64> {
        self.jobs.iter().map(|job| job.part.byte_len())
    }

    /// The kernels to launch, in any order.
    pub fn launches(&self) -> &[Launch] {
        &self.launches
    }

    /// Where the kernels leave what they say of each chunk.
    pub fn reports(&self) -> Range<u64> {
        self.reports_at.clone()
    }

    /// Every section, in order: what is between them nobody touches.
    pub fn sections(&self) -> Vec<Range<u64>> {
        let fixed = [&self.tensors_at, &self.chunks_at, &self.items_at, &self.reports_at];
        let parts = self.jobs.iter().flat_map(|job| {
            let s = &job.sections;
            [
                &s.tables,
                &s.rows,
                &s.columns,
                &s.classes,
                &s.row_factors,
                &s.column_factors,
                &s.payload,
                &s.scratch,
            ]
        });
        let mut all: Vec<Range<u64>> = fixed.into_iter().chain(parts).cloned().collect();
        all.retain(|range| !range.is_empty());
        all.sort_by_key(|range| range.start);
        all
    }

    /// What a kernel is launched with: addresses of the arrays of tensors, chunks, items and reports, its own items
    /// first; then the shared memory for tables.
    pub fn arguments(&self, launch: &Launch, base: u64) -> ([u64; 4], u32) {
        let items = base + self.items_at.start + u64::from(launch.first_item) * size_of::<wire::Item>() as u64;
        let arrays = [
            base + self.tensors_at.start,
            base + self.chunks_at.start,
            items,
            base + self.reports_at.start,
        ];
        (arrays, launch.table_room)
    }

    /// Writes what is uploaded into `image`: the memory will be at `base` of the device, and the parts' outputs
    /// at `outputs`. Reads the parts' chunks and checks their checksums.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Corrupt`].
    ///
    /// # Panics
    /// If `image` is not `upload_len()` long, or there is not an output for every part.
    pub fn fill(&self, base: u64, outputs: &[u64], image: &mut [u8]) -> Result<()> {
        assert!(image.len() as u64 == self.uploaded && outputs.len() == self.jobs.len());
        let place = |range: &Range<u64>| if range.is_empty() { 0 } else { base + range.start };
        let mut put = |range: &Range<u64>, bytes: &[u8]| {
            image[range.start as usize..][..bytes.len()].copy_from_slice(bytes);
        };
        let mut chunks = Vec::new();
        let mut tensors = Vec::new();
        for (job, &output) in self.jobs.iter().zip(outputs) {
            let (d, s) = (&job.description, &job.sections);
            let tensor = wire::Tensor {
                input: job.part.resident.unwrap_or_else(|| place(&s.payload)),
                output,
                tables: place(&s.tables),
                rows: place(&s.rows),
                columns: place(&s.columns),
                classes: place(&s.classes),
                row_factors: place(&s.row_factors),
                column_factors: place(&s.column_factors),
                scratch: place(&s.scratch),
                ..d.tensor
            };
            tensors.extend(tensor.bytes());
            let tables: Vec<u8> = d.tables.iter().flat_map(|entry| entry.to_le_bytes()).collect();
            put(&s.tables, &tables);
            put(&s.rows, &d.rows);
            put(&s.columns, &d.columns);
            put(&s.classes, &d.classes);
            put(&s.row_factors, &d.row_factors);
            put(&s.column_factors, &d.column_factors);
            job.each_chunk(|chunk| chunks.extend(chunk.bytes()));
        }
        put(&self.tensors_at, &tensors);
        put(&self.chunks_at, &chunks);
        let items: Vec<u8> = self.items.iter().flat_map(|item| item.bytes()).collect();
        put(&self.items_at, &items);
        let not_run = wire::Report {
            status: status::NOT_RUN,
            ..wire::Report::default()
        };
        let reports = not_run.bytes().repeat(chunks.len() / size_of::<wire::Chunk>());
        put(&self.reports_at, &reports);
        for job in self.jobs.iter().filter(|job| job.part.resident.is_none()) {
            let Range { start, end } = job.sections.payload;
            let (tensor, plan) = (job.part.encoded.tensor, job.part.plan());
            tensor.read_encoded(plan, job.part.chunks.clone(), &mut image[start as usize..end as usize])?;
        }
        Ok(())
    }

    /// What the reports, read back, say: the error of the first chunk that has one, as the CPU's decoder would
    /// give it.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn finish(&self, reports: &[u8]) -> Result<()> {
        let reports = reports.as_chunks().0;
        for job in &self.jobs {
            let chunks = job.part.chunks.clone();
            for (chunk, report) in chunks.zip(&reports[job.first as usize..]) {
                if let Some(what) = status::problem(wire::Report::of(report).status) {
                    return Err(job.part.encoded.tensor.chunk_error(job.part.plan(), chunk, what));
                }
            }
        }
        Ok(())
    }
}

impl Job<'_> {
    fn each_chunk(&self, mut put: impl FnMut(wire::Chunk)) {
        let plan = self.part.plan();
        let start = self.part.chunks.start;
        let encoded = Tensor::encoded_range(plan, self.part.chunks.clone()).start;
        let mut scratch = 0;
        for chunk in self.part.chunks.clone() {
            let (units, bytes, extra) = plan.chunk(chunk);
            let (row, column) = plan.place(chunk, &self.description);
            put(wire::Chunk {
                input: plan.range(chunk).start - encoded,
                output: (chunk - start) * plan.chunk_bytes() as u64,
                scratch,
                bytes,
                extra,
                units,
                row,
                column,
            });
            scratch += 2 * self.description.tiles(units);
        }
    }
}
