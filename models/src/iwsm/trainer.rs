//! prototype
use engine::rng::Stream;
use engine::shard::Shards;
use engine::{Params, Real};

use super::Buffer;
use crate::energy::Energy;
use crate::estimate::Estimates;
use crate::sampling::{Schedule, ScoreModel, reverse_sde};
use crate::score::{MlpConfig, ScoreMlp, ScoreNetwork};

/// w
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weights { None, Tempered(f64), Smooth(f64), Resampled }
/// c
#[derive(Clone, Debug)]
pub struct Config {
    /// .
    pub batch: usize, pub draws: usize, pub lr: f64, pub steps: u64, pub ema: f64, pub clip: f64,
    pub refresh_every: u64, pub refresh_samples: usize, pub refresh_steps: usize, pub buffer: usize,
    pub recycle: usize, pub weights: Weights, pub schedule: Schedule, pub net: MlpConfig, pub seed: u64, pub flat: f64,
}
/// r
#[derive(Clone, Copy, Debug, Default)]
pub struct StepReport { pub loss: f64, pub ess: f64 }
/// t
pub struct Trainer<'e, T: Real> {
    pub cfg: Config, energy: &'e dyn Energy<T>, pub net: ScoreMlp<T>, pub params: Params<T>, pub ema: Vec<T>, m: Vec<T>, v: Vec<T>,
    pub buffer: Buffer<T>, est: Estimates<T>, shards: Shards<T>, pub step: u64, kappa: Vec<[f64;3]>,
}
const BINS: usize = 32;
impl<'e, T: Real> Trainer<'e, T> {
    pub fn new(cfg: Config, energy: &'e dyn Energy<T>) -> Self {
        let mut params = Params::new();
        let net = ScoreMlp::new(cfg.net.clone(), &mut params, cfg.seed);
        let n = params.len();
        let d = energy.dim();
        let mut buffer = Buffer::new(d, cfg.buffer);
        let mut x = vec![T::ZERO; d * cfg.buffer];
        Stream::new(cfg.seed, "init", 0, 0).fill_normal(&mut x);
        x.iter_mut().for_each(|x| *x *= T::of(cfg.net.sigma_data * 1.2));
        buffer.push(&x);
        Self { energy, ema: params.values().to_vec(), net, params, m: vec![T::ZERO; n], v: vec![T::ZERO; n], buffer, est: Estimates::new(d), shards: Shards::new(64), step: 0, kappa: vec![[0.0;3]; BINS], cfg }
    }
    pub fn sample(&self, n: usize, steps: usize, key: (u64,u64)) -> Vec<T> {
        let mut out = vec![T::ZERO; n * self.energy.dim()];
        let model = ScoreModel { network: &self.net, params: &self.ema };
        reverse_sde(model, self.cfg.schedule, self.cfg.schedule.sigma_max.hypot(self.cfg.net.sigma_data), steps, key, &mut out);
        out
    }
    pub fn step(&mut self) -> StepReport {
        let c = self.cfg.clone();
        let d = self.energy.dim();
        if self.step > 0 && self.step % c.refresh_every == 0 && c.refresh_samples > 0 {
            let x = self.sample(c.refresh_samples, c.refresh_steps, (c.seed, self.step));
            self.buffer.push(&x);
        }
        let n = c.batch;
        let mut s = Stream::new(c.seed, "batch", self.step, 0);
        let mut x = vec![T::ZERO; n * d];
        let mut eps = vec![T::ZERO; n * d];
        s.fill_normal(&mut eps);
        let mut sigma = vec![T::ZERO; n];
        let off = s.uniform();
        for i in 0..n {
            sigma[i] = T::of(c.schedule.sigma((i as f64 + off) / n as f64));
            self.buffer.draw(&mut s, &mut x[i*d..(i+1)*d]);
            if s.uniform() < c.flat { for a in 0..d { x[i*d+a] = T::of((s.uniform()*2.0-1.0)*c.net.sigma_data*2.0); } }
            for a in 0..d { x[i*d+a] += sigma[i]*eps[i*d+a]; }
        }
        self.est.run(self.energy, &x, &sigma, c.draws, c.seed, self.step);
        // kappa
        for i in 0..n {
            let e = self.est.get(i);
            let b = (i * BINS / n).min(BINS-1);
            for k in 0..3 { let v = e.covariance[k].f64(); if v.is_finite() { self.kappa[b][k] = 0.999*self.kappa[b][k] + 0.001 * v; } }
        }
        let mut logw = vec![T::ZERO; n];
        let mut w = vec![0.0f64; n];
        if c.weights != Weights::None || c.recycle > 0 {
            let floor = match c.weights { Weights::Smooth(h) => h, _ => if c.recycle>0 {1.0} else {0.0} };
            let sg: Vec<T> = sigma.iter().map(|s| s.max(T::of(floor))).collect();
            self.buffer.log_density(&x, &sg, &mut logw);
            for i in 0..n { logw[i] = self.est.get(i).log_density - logw[i]; }
        }
        let lw: Vec<f64> = logw.iter().map(|v| v.f64()).collect();
        let norm = |lw: &[f64]| { let m = lw.iter().cloned().fold(f64::NEG_INFINITY, f64::max); let mut w: Vec<f64> = lw.iter().map(|l| (l-m).exp()).collect(); let t: f64 = w.iter().sum::<f64>()/w.len() as f64; w.iter_mut().for_each(|v| *v/=t); w };
        match c.weights {
            Weights::None | Weights::Resampled => w.fill(1.0),
            Weights::Tempered(b) => w = norm(&lw.iter().map(|l| l*b).collect::<Vec<_>>()),
            Weights::Smooth(_) => w = norm(&lw),
        }
        for i in 0..n { if self.est.get(i).log_density == T::NEG_INFINITY { w[i]=0.0; } }
        let mx = 50.0; w.iter_mut().for_each(|v| *v = v.min(mx));
        let ess = { let a: f64 = w.iter().sum(); let b: f64 = w.iter().map(|v| v*v).sum(); a*a/b/n as f64 };
        if c.recycle > 0 {
            // resample draws by weight
            let ww = norm(&lw);
            let tot: f64 = ww.iter().sum();
            let mut cum = 0.0; let u0 = s.uniform(); let mut k = 0;
            let mut fresh = Vec::new();
            for i in 0..n { cum += ww[i]; while k < c.recycle && (k as f64 + u0) / c.recycle as f64 * tot < cum { fresh.extend_from_slice(self.est.get(i).draw); k += 1; } }
            self.buffer.push(&fresh);
        }
        let mut target = vec![T::ZERO; n*d];
        for i in 0..n {
            let e = self.est.get(i);
            let b = (i * BINS / n).min(BINS-1);
            let [aa,ab,bb] = self.kappa[b];
            let den = aa-2.0*ab+bb; let kap = if den > 0.0 { ((bb-ab)/den).clamp(0.0,1.0) } else { 0.5 };
            let (sa, sb) = self.net.scaling(sigma[i]);
            for a in 0..d {
                let sc = T::of(kap)*e.target[a] + T::of(1.0-kap)*e.denoising[a];
                target[i*d+a] = (sc - sa * x[i*d+a]) / sb;
            }
        }
        let net = &self.net;
        let (loss, grad) = self.shards.gradient(self.params.values(), n, |g, r, grads| {
            let xs = g.constant(d, r.len(), &x[r.start*d..r.end*d]);
            let f = net.record(g, xs, &sigma[r.clone()]);
            let mut loss = 0.0;
            let seed: Vec<T> = g.value(f).data.iter().zip(&target[r.start*d..r.end*d]).enumerate().map(|(k,(f,t))| {
                let wi = w[r.start + k/d]; let e = f.f64()-t.f64(); loss += wi*e*e/n as f64; T::of(2.0*wi*e/n as f64)
            }).collect();
            g.backward_from(f, &seed, grads);
            loss
        });
        let norm = grad.iter().map(|g| g.f64()*g.f64()).sum::<f64>().sqrt();
        let k = if norm > c.clip { c.clip/norm } else { 1.0 };
        let t = (self.step+1) as i32;
        let warm = ((self.step+1) as f64/200.0).min(1.0);
        let lr = c.lr * warm * (0.5*(1.0+(std::f64::consts::PI*self.step as f64/c.steps as f64).cos())*0.99+0.01);
        let (c1,c2) = (1.0-0.9f64.powi(t), 1.0-0.999f64.powi(t));
        let p = self.params.values_mut();
        let decay = c.ema.min((1.0+self.step as f64)/(10.0+self.step as f64));
        let (b1,b2)=(T::of(0.9),T::of(0.999)); let (k,ic1,ic2,lrt)=(T::of(k),T::of(1.0/c1),T::of(1.0/c2),T::of(lr)); let dk=T::of(decay);
        for j in 0..p.len() {
            let g = grad[j]*k;
            self.m[j] = b1*self.m[j]+(T::ONE-b1)*g;
            self.v[j] = b2*self.v[j]+(T::ONE-b2)*g*g;
            p[j] -= lrt*(self.m[j]*ic1)/((self.v[j]*ic2).sqrt()+T::of(1e-8));
            self.ema[j] = dk*self.ema[j]+(T::ONE-dk)*p[j];
        }
        self.step += 1;
        StepReport { loss, ess }
    }
}
