def halve(x: f64) -> (float, int):
    def body(x: f64) -> f64:
        t1 : f64 = x * 0.5
        return t1
    def test(x: f64) -> bool_:
        t1 : bool = x > 1.0
        return t1
    t1, t2 = loop(body, carry=(x,), test=test, trips=new(trips), counts=True)  # (f64, i64)
    return t1, t2
