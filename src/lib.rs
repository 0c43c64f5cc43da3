pub mod backend; mod bits; mod entropy; pub mod error;
pub use backend::Backend;
pub use error::Error;
pub fn kernel_bench() {
    use entropy::*; use rans::*;
    let mut s=1u64; let mut nx=||{s^=s<<13;s^=s>>7;s^=s<<17;s};
    let n=65536; 
    for count in [1usize,4] {
    let ctx:Vec<u8>=(0..n).map(|_| (nx()%count as u64) as u8).collect();
    let sym:Vec<u8>=(0..n).map(|_| { let mut t=0.0f64; for _ in 0..6 { t+=(nx()>>11) as f64/(1u64<<53) as f64; } let g=(t-3.0)*1.41; (128.0+ 4.0*g.abs().max(1e-3).log2()) as u8}).collect();
    let mut counts=vec![[0u64;256];count];
    for (c,s) in ctx.iter().zip(&sym){counts[*c as usize][*s as usize]+=1;}
    for pb in [11u32,12] {
    let fr:Vec<_>=counts.iter().map(|c| Frequencies::normalise(c,pb)).collect();
    let cost:f64=fr.iter().zip(&counts).map(|(f,c)|f.cost(c)).sum();
    let et=EncodeTables::new(&fr); let dt=DecodeTables::new(&fr).unwrap();
    let mut out=Vec::new();
    let c: &[u8]= if count==1 {&[]} else {&ctx};
    let t=std::time::Instant::now();
    for _ in 0..20 { out.clear(); encode(&et,&sym,c,&[0;32],&mut out);}
    println!("ctx {count} P {pb} bits/sym {:.3} words {} encode {:.3} Gsym/s", cost/n as f64, out.len(), 20.0*n as f64/t.elapsed().as_secs_f64()/1e9);
    for b in Backend::available() { for k in 1..=4usize {
        let mut outs=vec![vec![0u8;1024];4];
        let reps=100; let mut best=0f64;
        for _ in 0..5 {
        let t=std::time::Instant::now();
        for _ in 0..reps/k { 
            let mut st: Vec<Stream>=(0..k).map(|_|Stream::new(&out).unwrap()).collect();
            for i in (0..n).step_by(1024) {
              let mut runs:Vec<Run>=st.iter_mut().zip(outs.iter_mut()).map(|(stream,o)| Run{stream,contexts: if c.is_empty() {c} else {&c[i..i+1024]},symbols:&mut o[..]}).collect();
              decode(b,&dt,&mut runs);
            }
        }
        best=best.max((reps/k*k*n) as f64/t.elapsed().as_secs_f64()/1e9); }
        println!("  {b} K={k}: {best:.3} Gsym/s");
    }}
    }}
}
