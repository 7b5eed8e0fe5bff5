def helper(x: f64[3]) -> f64[3]:
    y : f64[3] = tanh(x)
    return y

def main(x: f64[3]) -> f64[3]:
    z : f64[3] = call(helper, x)
    return z
