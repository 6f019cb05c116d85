//! What a recording keeps and gives back.

use super::*;

#[test]
fn released_values_make_room_and_the_kept_one_stays() {
    let mut tape = Tape::<f64>::new();
    let mut g = tape.record(&[]);
    let x = g.constant(2, 1, &[1.0, 2.0]);
    let mark = g.mark();
    let y = g.add(x, x);
    let z = g.mul(y, y);
    let z = g.release(mark, z);
    assert_eq!(g.value(z).data, [4.0, 16.0]);
    assert_eq!(g.tape.used.0, 2 * padded(2));
    assert_eq!(g.release(mark, x), x);
    let y = g.sub(x, x);
    assert_eq!((g.value(x).data, g.value(y).data), (&[1.0, 2.0][..], &[0.0, 0.0][..]));
}

#[test]
fn what_wants_a_gradient_is_not_released() {
    let mut tape = Tape::<f64>::new();
    let mut g = tape.record(&[]);
    let x = g.variable(1, 1, &[3.0]);
    let mark = g.mark();
    let y = g.mul(x, x);
    let z = g.mul(y, x);
    assert_eq!(g.release(mark, z), z);
    g.backward(z, &mut []);
    assert_eq!(g.grad(x).data, [27.0]);
}

#[test]
#[should_panic(expected = "was released")]
fn a_released_value_cannot_be_read() {
    let mut tape = Tape::<f64>::new();
    let mut g = tape.record(&[]);
    let x = g.constant(1, 1, &[3.0]);
    let mark = g.mark();
    let y = g.add(x, x);
    let z = g.add(y, y);
    g.release(mark, z);
    g.value(y);
}

#[test]
#[should_panic(expected = "belongs to another recording")]
fn a_value_of_another_tape_is_refused() {
    let (mut tape, mut other) = (Tape::<f64>::new(), Tape::<f64>::new());
    let (mut g, mut h) = (tape.record(&[]), other.record(&[]));
    let x = g.constant(1, 1, &[3.0]);
    let y = h.constant(1, 1, &[5.0]);
    assert_eq!((g.value(x).data, h.value(y).data), (&[3.0][..], &[5.0][..]));
    h.add(y, x);
}

#[test]
#[should_panic(expected = "belongs to another recording")]
fn a_value_of_an_earlier_recording_is_refused() {
    let mut tape = Tape::<f64>::new();
    let x = tape.record(&[]).constant(1, 1, &[3.0]);
    let mut g = tape.record(&[]);
    g.constant(1, 1, &[5.0]);
    g.value(x);
}
