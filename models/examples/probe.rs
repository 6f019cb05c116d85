use engine::rng::Stream;
use models::{energy::Mixture, estimate::Estimates};
fn main() {
    let g = Mixture::gmm40();
    let mut x = vec![0f32; 1024];
    Stream::new(0, "x", 0, 0).fill_normal(&mut x);
    x.iter_mut().for_each(|x| *x *= 20.0);
    let sigma = vec![5f32; 512];
    let mut e = Estimates::new(2);
    for t in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(t).build().unwrap();
        pool.install(|| {
            for r in 0..30 {
                let s = std::time::Instant::now();
                e.run(&g, &x, &sigma, 500, 0, r);
                if r % 10 == 9 {
                    println!("{t} threads {:.3} ms", s.elapsed().as_secs_f64() * 1e3);
                }
            }
        });
    }
    let n = g.noised(5.0);
    let (mut lp, mut sc) = (vec![0f32; 512], vec![0f32; 1024]);
    models::energy::evaluate(&n, &x, &mut lp, &mut sc);
    for i in 0..5 {
        let v = e.get(i);
        println!("{} {} | {:?} {:?} {:?} | {:?} ess {}", v.log_density, lp[i], v.target, v.denoising, &sc[2 * i..2 * i + 2], v.covariance, v.ess);
    }
    let s = std::time::Instant::now();
    let mut st = Stream::new(0, "x", 0, 0);
    let mut z = vec![0f32; 512000];
    st.fill_normal(&mut z);
    println!("normals {:.3} ms", s.elapsed().as_secs_f64() * 1e3);
}
