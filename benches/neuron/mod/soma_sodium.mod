: Sodium of soma and axon, g m^3 h, from a table of 200 points; g includes the temperature.
NEURON { SUFFIX soma_sodium NONSPECIFIC_CURRENT i RANGE g, e, shift GLOBAL m_inf, h_inf, tau_m, tau_h }
UNITS { (mV) = (millivolt) (S) = (siemens) (mA) = (milliamp) }
PARAMETER { g = 0 (S/cm2) e = 55 (mV) shift = 0 (mV) }
ASSIGNED { v (mV) i (mA/cm2) m_inf h_inf tau_m (ms) tau_h (ms) }
STATE { m h }
INITIAL { rates(v - shift) m = m_inf h = h_inf }
BREAKPOINT { SOLVE gates METHOD cnexp i = g*m*m*m*h*(v - e) }
DERIVATIVE gates { rates(v - shift) m' = (m_inf - m)/tau_m h' = (h_inf - h)/tau_h }
FUNCTION linoid(a, x, q) { if (fabs(x) > 1e-6) { linoid = a*x/(1 - exp(-x/q)) } else { linoid = a*(q + x/2) } }
PROCEDURE rates(u (mV)) { LOCAL a, b, speed
  TABLE m_inf, h_inf, tau_m, tau_h FROM -120 TO 100 WITH 199
  speed = 2.3^1.4
  a = linoid(0.182, u + 28, 9) b = linoid(0.124, -(u + 28), 9) m_inf = a/(a + b) tau_m = 1/((a + b)*speed)
  a = linoid(0.024, u + 50, 5) b = linoid(0.0091, -(u + 75), 5) tau_h = 1/((a + b)*speed)
  h_inf = 1/(1 + exp((u + 55)/6.2))
}
