use models::{energy::{Mixture,Energy}, iwsm::*, sampling::Schedule, score::MlpConfig};
fn quick(g: &Mixture, x: &[f32]) -> (usize, f64, f64) {
    let m = g.components(); let n = x.len()/2; let mut c = vec![0.0; m]; let mut near=vec![false;m]; let mut inm = 0.0;
    for p in x.chunks(2) { let (mut b, mut j) = (1e30, 0); for k in 0..m { let d = (p[0] as f64-g.means()[2*k]).powi(2)+(p[1] as f64-g.means()[2*k+1]).powi(2); if d < b { b = d; j = k; } } c[j]+=1.0; if b.sqrt() < 3.0*g.scales()[j] { inm += 1.0; near[j]=true; } }
    let kl: f64 = (0..m).map(|j| { let f = c[j]/n as f64; if f > 0.0 { f*(f/g.weights()[j]).ln() } else {0.0} }).sum();
    (near.iter().filter(|b| **b).count(), inm/n as f64, kl)
}
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let get = |k: &str, d: &str| a.iter().position(|s| s == k).map(|i| a[i+1].clone()).unwrap_or(d.into());
    let f = |k: &str, d: f64| get(k, &d.to_string()).parse::<f64>().unwrap();
    let seed = f("seed", 0.0) as u64;
    let g = match get("target","gmm40").as_str() { "gmm40" => Mixture::gmm40(), "gmm-w" => Mixture::gmm_w(0), "gmm120" => Mixture::random(120,2,40.0,models::energy::GMM_SCALE,false,120), t => panic!("{t}") };
    let weights = match get("w","none").as_str() { "none" => Weights::None, "temp" => Weights::Tempered(f("beta",1.0)), "smooth" => Weights::Smooth(f("h",1.0)), "res" => Weights::Resampled, t => panic!("{t}") };
    let steps = f("steps", 3000.0) as u64;
    let schedule = Schedule { sigma_min: f("smin",0.05), sigma_max: f("smax",80.0) };
    let cfg = Config { batch: f("batch",512.0) as usize, draws: f("draws",500.0) as usize, lr: f("lr",1e-3), steps, ema: f("ema",0.998), clip: f("clip",1.0), refresh_every: f("every",50.0) as u64, refresh_samples: f("rs",512.0) as usize, refresh_steps: 100, buffer: f("buffer",10000.0) as usize, recycle: f("recycle",0.0) as usize, weights, schedule,
        net: MlpConfig { dim: 2, hidden: f("hidden",128.0) as usize, layers: f("layers",3.0) as usize, time_features: 8, space_features: f("space",64.0) as usize, sigma_data: 27.0, mode_scale: 1.3, sigma_range: (schedule.sigma_min, schedule.sigma_max) }, seed, flat: f("flat",0.0) };
    let mut t = Trainer::<f32>::new(cfg, &g);
    let start = std::time::Instant::now();
    let mut ex = vec![0f32; 20000]; Energy::<f32>::sample(&g, &mut engine::rng::Stream::new(9,"ex",0,0), &mut ex);
    println!("exact {:?}", quick(&g, &ex));
    let mut ess = 0.0; let mut loss = 0.0;
    let every = (steps/f("rep",6.0) as u64).max(1);
    for s in 1..=steps { let r = t.step(); ess += r.ess; loss += r.loss; if s % every == 0 { let x = t.sample(10000, 200, (77, s)); let mut b = vec![0f32; 2*t.buffer.len()]; for l in 0..t.buffer.len() { t.buffer.get(l, &mut b[2*l..2*l+2]); } let (m,i,k)=quick(&g,&x); let (bm,bi,bk)=quick(&g,&b); println!("{s} {:.1}s loss {:.4} ess {:.3} | modes {m} in {i:.4} kl {k:.4} | buffer {bm} {bi:.4} {bk:.4}", start.elapsed().as_secs_f64(), loss/every as f64, ess/every as f64); ess=0.0; loss=0.0; } }
}
