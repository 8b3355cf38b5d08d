# ruff: noqa: E501
"""The table of the long tail: what TA-Lib and pandas-ta offer beyond the kernels.

One line each: name | title | library and function | inputs | parameters |
outputs | dimensions (one stands for all outputs) | C if the values add up from
the start of the window. A parameter is `name=default:low:high`; without a point
in its default it is a whole number; from 2 (0 with a point) to 1000 unless
said. A test holds the table to the installed libraries.
"""

from __future__ import annotations

TABLE = """
aberration | Aberration | pandas_ta aberration | high low close | length=5 atr_length=15 | middle lower upper atr | price |
ac | Accelerator/Decelerator Oscillator | talib AC | high low | fast=5 slow=34 signal=5 | ac | price |
accbands | Acceleration Bands | talib ACCBANDS | high low close | length=20 | upper middle lower | price |
acos | Arc cosine | talib ACOS | series |  | acos | none |
adosc | Chaikin A/D Oscillator | talib ADOSC | high low close volume | fast=3 slow=10 | adosc | volume | C
adr | Average Day Range | talib ADR | high low | length=14:1 | adr | price |
adxr | Average Directional Movement Index Rating | talib ADXR | high low close | length=14 | adxr | none |
alligator | Alligator (Williams) | pandas_ta alligator | series | jaw=13 teeth=8 lips=5 | jaw teeth lips | input |
alma | Arnaud Legoux moving average | pandas_ta alma | series | length=9 sigma=6.0 dist_offset=0.85:0:1 | alma | input |
alphatrend | Alpha trend | pandas_ta alphatrend | open high low close volume | length=14 multiplier=1.0 threshold=50.0 lag=2:1 | value lagged | price |
amat | Archer moving averages trends | pandas_ta amat | series | fast=8 slow=21 lookback=2:1 | long_run short_run | none |
ao | Awesome Oscillator | talib AO | high low | fast=5 slow=34 | ao | price |
aobv | Archer on balance volume | pandas_ta aobv | close volume | fast=4 slow=12 max_lookback=2:1 min_lookback=2:1 run_length=2:1 | obv minimum maximum fast slow long_run short_run | volume volume volume volume volume none none | C
apo | Absolute Price Oscillator | talib APO | series | fast=12 slow=26 matype=1:0:8 | apo | input |
aroonosc | Aroon Oscillator | talib AROONOSC | high low | length=14 | aroonosc | none |
asin | Arc sine | talib ASIN | series |  | asin | none |
atan | Arc tangent | talib ATAN | series |  | atan | none |
atrts | Average true range trailing stop | pandas_ta atrts | high low close | length=14 ma_length=20 k=3.0 | atrts | price |
avgdev | Average Deviation | talib AVGDEV | series | length=14 | avgdev | input |
avgprice | Average Price | talib AVGPRICE | open high low close |  | avgprice | price |
beta | Beta | talib BETA | series series | length=5:1 | beta | none |
bias | Distance from the average | pandas_ta bias | series | length=26 | bias | none |
bop | Balance Of Power | talib BOP | open high low close |  | bop | none |
brar | Sentiment (AR, BR) | pandas_ta brar | open high low close | length=26 | ar br | none |
cdl_2crows | Two Crows | talib CDL2CROWS | open high low close |  | pattern | none |
cdl_3inside | Three Inside Up/Down | talib CDL3INSIDE | open high low close |  | pattern | none |
cdl_3linestrike | Three-Line Strike | talib CDL3LINESTRIKE | open high low close |  | pattern | none |
cdl_3outside | Three Outside Up/Down | talib CDL3OUTSIDE | open high low close |  | pattern | none |
cdl_3starsinsouth | Three Stars In The South | talib CDL3STARSINSOUTH | open high low close |  | pattern | none |
cdl_abandonedbaby | Abandoned Baby | talib CDLABANDONEDBABY | open high low close | penetration=0.3:0:1 | pattern | none |
cdl_advanceblock | Advance Block | talib CDLADVANCEBLOCK | open high low close |  | pattern | none |
cdl_belthold | Belt-hold | talib CDLBELTHOLD | open high low close |  | pattern | none |
cdl_breakaway | Breakaway | talib CDLBREAKAWAY | open high low close |  | pattern | none |
cdl_closingmarubozu | Closing Marubozu | talib CDLCLOSINGMARUBOZU | open high low close |  | pattern | none |
cdl_concealbabyswall | Concealing Baby Swallow | talib CDLCONCEALBABYSWALL | open high low close |  | pattern | none |
cdl_counterattack | Counterattack | talib CDLCOUNTERATTACK | open high low close |  | pattern | none |
cdl_dojistar | Doji Star | talib CDLDOJISTAR | open high low close |  | pattern | none |
cdl_dragonflydoji | Dragonfly Doji | talib CDLDRAGONFLYDOJI | open high low close |  | pattern | none |
cdl_eveningdojistar | Evening Doji Star | talib CDLEVENINGDOJISTAR | open high low close | penetration=0.3:0:1 | pattern | none |
cdl_gapsidesidewhite | Up/Down-gap side-by-side white lines | talib CDLGAPSIDESIDEWHITE | open high low close |  | pattern | none |
cdl_gravestonedoji | Gravestone Doji | talib CDLGRAVESTONEDOJI | open high low close |  | pattern | none |
cdl_haramicross | Harami Cross Pattern | talib CDLHARAMICROSS | open high low close |  | pattern | none |
cdl_highwave | High-Wave Candle | talib CDLHIGHWAVE | open high low close |  | pattern | none |
cdl_hikkake | Hikkake Pattern | talib CDLHIKKAKE | open high low close |  | pattern | none |
cdl_hikkakemod | Modified Hikkake Pattern | talib CDLHIKKAKEMOD | open high low close |  | pattern | none |
cdl_homingpigeon | Homing Pigeon | talib CDLHOMINGPIGEON | open high low close |  | pattern | none |
cdl_identical3crows | Identical Three Crows | talib CDLIDENTICAL3CROWS | open high low close |  | pattern | none |
cdl_inneck | In-Neck Pattern | talib CDLINNECK | open high low close |  | pattern | none |
cdl_inside | Inside bar | pandas_ta cdl_inside | open high low close |  | pattern | none |
cdl_invertedhammer | Inverted Hammer | talib CDLINVERTEDHAMMER | open high low close |  | pattern | none |
cdl_kicking | Kicking | talib CDLKICKING | open high low close |  | pattern | none |
cdl_kickingbylength | Kicking, by the longer marubozu | talib CDLKICKINGBYLENGTH | open high low close |  | pattern | none |
cdl_ladderbottom | Ladder Bottom | talib CDLLADDERBOTTOM | open high low close |  | pattern | none |
cdl_longleggeddoji | Long Legged Doji | talib CDLLONGLEGGEDDOJI | open high low close |  | pattern | none |
cdl_longline | Long Line Candle | talib CDLLONGLINE | open high low close |  | pattern | none |
cdl_marubozu | Marubozu | talib CDLMARUBOZU | open high low close |  | pattern | none |
cdl_matchinglow | Matching Low | talib CDLMATCHINGLOW | open high low close |  | pattern | none |
cdl_mathold | Mat Hold | talib CDLMATHOLD | open high low close | penetration=0.5:0:1 | pattern | none |
cdl_morningdojistar | Morning Doji Star | talib CDLMORNINGDOJISTAR | open high low close | penetration=0.3:0:1 | pattern | none |
cdl_onneck | On-Neck Pattern | talib CDLONNECK | open high low close |  | pattern | none |
cdl_rickshawman | Rickshaw Man | talib CDLRICKSHAWMAN | open high low close |  | pattern | none |
cdl_risefall3methods | Rising/Falling Three Methods | talib CDLRISEFALL3METHODS | open high low close |  | pattern | none |
cdl_separatinglines | Separating Lines | talib CDLSEPARATINGLINES | open high low close |  | pattern | none |
cdl_shortline | Short Line Candle | talib CDLSHORTLINE | open high low close |  | pattern | none |
cdl_spinningtop | Spinning Top | talib CDLSPINNINGTOP | open high low close |  | pattern | none |
cdl_stalledpattern | Stalled Pattern | talib CDLSTALLEDPATTERN | open high low close |  | pattern | none |
cdl_sticksandwich | Stick Sandwich | talib CDLSTICKSANDWICH | open high low close |  | pattern | none |
cdl_takuri | Takuri (Dragonfly Doji with very long lower shadow) | talib CDLTAKURI | open high low close |  | pattern | none |
cdl_tasukigap | Tasuki Gap | talib CDLTASUKIGAP | open high low close |  | pattern | none |
cdl_thrusting | Thrusting Pattern | talib CDLTHRUSTING | open high low close |  | pattern | none |
cdl_tristar | Tristar Pattern | talib CDLTRISTAR | open high low close |  | pattern | none |
cdl_unique3river | Unique 3 River | talib CDLUNIQUE3RIVER | open high low close |  | pattern | none |
cdl_upsidegap2crows | Upside Gap Two Crows | talib CDLUPSIDEGAP2CROWS | open high low close |  | pattern | none |
cdl_xsidegap3methods | Upside/Downside Gap Three Methods | talib CDLXSIDEGAP3METHODS | open high low close |  | pattern | none |
cdl_z | Candles in standard deviations | pandas_ta cdl_z | open high low close | length=30 | open high low close | none |
ceil | Smallest whole number not below | talib CEIL | series |  | ceil | input |
cfo | Chande forecast oscillator | pandas_ta cfo | series | length=9 | cfo | none |
cg | Centre of gravity | pandas_ta cg | series | length=10 | cg | none |
chandelier_exit | Chandelier exit | pandas_ta chandelier_exit | high low close | high_length=22 low_length=22 atr_length=14 multiplier=2.0 | long short direction | price price none |
chop | Choppiness index | pandas_ta chop | high low close | length=14 atr_length=1:1 | chop | none |
cksp | Chande Kroll stop | pandas_ta cksp | high low close | p=10 x=3.0 | long short | price |
cmo | Chande Momentum Oscillator | talib CMO | series | length=14 | cmo | none |
cmou | Chande Momentum Oscillator (Unsmoothed) | talib CMOU | series | length=14 | cmou | none |
coppock | Coppock Curve | talib COPPOCK | series | wma_length=10:1 roc1=11:1 roc2=14:1 | coppock | none |
correl | Pearson's Correlation Coefficient (r) | talib CORREL | series series | length=30:1 | correl | none |
cos | Cosine | talib COS | series |  | cos | none |
cosh | Hyperbolic cosine | talib COSH | series |  | cosh | none |
crsi | Connors relative strength index | pandas_ta crsi | series | rsi_length=3 streak_length=2 rank_length=100 | crsi | none |
cti | Correlation trend indicator | pandas_ta cti | series | length=12 | cti | none |
cumsum | Cumulative Sum | talib CUMSUM | series |  | cumsum | input | C
cvi | Chaikin's Volatility | talib CVI | high low | length=10 roc_length=10:1 | cvi | none |
decay | Decay | pandas_ta decay | series | length=1:1 | decay | input |
decreasing | Whether the series fell | pandas_ta decreasing | series | length=1:1 | decreasing | none |
dpo | Detrended Price Oscillator | talib DPO | series | length=20 | dpo | input |
drawdown | Drawdown within the window | pandas_ta drawdown | series |  | absolute fraction logarithmic | input none none | C
dx | Directional Movement Index | talib DX | high low close | length=14 | dx | none |
ebsw | Even better sinewave | pandas_ta ebsw | series | length=40:39 bars=10 | ebsw | none |
efi | Elder's Force Index | talib EFI | close volume | length=13:1 | efi | none |
entropy | Entropy | pandas_ta entropy | series | length=10 base=2.0:1.1 | entropy | none |
eom | Ease of movement | pandas_ta eom | high low close volume | length=14 divisor=100000000.0:1:1e12 | eom | none |
er | Kaufman Efficiency Ratio | talib ER | series | length=10 | er | none |
eri | Elder Ray Index (Bull Power / Bear Power) | talib ERI | high low close | length=13:1 | bull bear | price price |
exhc | Exhaustion count | pandas_ta exhc | series | length=4:1 | down up | none |
exp | Exponential | talib EXP | series |  | exp | none |
fisher | Fisher transform | pandas_ta fisher | high low | length=9 signal=1:1 | fisher signal | none |
floor | Largest whole number not above | talib FLOOR | series |  | floor | input |
fosc | Forecast Oscillator | talib FOSC | series | length=5 | fosc | none |
fractal | Williams Fractal | talib FRACTAL | high low | left=2:1 right=2:1 | high low | price |
fwma | Fibonacci weighted moving average | pandas_ta fwma | series | length=10::50 | fwma | input |
ha | Heikin-Ashi Candles | talib HA | open high low close |  | open high low close | price |
hilo | Gann high-low activator | pandas_ta hilo | high low close | high_length=13 low_length=21 | value long short | price |
ht_dcperiod | Hilbert Transform - Dominant Cycle Period | talib HT_DCPERIOD | series |  | ht_dcperiod | none |
ht_dcphase | Hilbert Transform - Dominant Cycle Phase | talib HT_DCPHASE | series |  | ht_dcphase | none |
ht_phasor | Hilbert Transform - Phasor Components | talib HT_PHASOR | series |  | inphase quadrature | input input |
ht_sine | Hilbert Transform - SineWave | talib HT_SINE | series |  | sine lead | none |
ht_trendline | Hilbert Transform - Instantaneous Trendline | talib HT_TRENDLINE | series |  | ht_trendline | input |
ht_trendmode | Hilbert Transform - Trend vs Cycle Mode | talib HT_TRENDMODE | series |  | ht_trendmode | none |
hwc | Holt-Winters channel | pandas_ta hwc | series | na=0.2:0.01:0.99 nb=0.1:0.01:0.99 nc=0.1:0.01:0.99 nd=0.1:0.01:0.99 | middle lower upper width percent | input input input input none |
hwma | Holt-Winters moving average | pandas_ta hwma | series | na=0.2:0.01:0.99 nb=0.1:0.01:0.99 nc=0.1:0.01:0.99 | hwma | input |
imi | Intraday Momentum Index | talib IMI | open close | length=14 | imi | none |
increasing | Whether the series rose | pandas_ta increasing | series | length=1:1 | increasing | none |
inertia | Inertia | pandas_ta inertia | series | length=20 rvi_length=14 | inertia | none |
jma | Jurik moving average | pandas_ta jma | series | length=7:3 phase=0.0:-100:100 | jma | input |
kama | Kaufman Adaptive Moving Average | talib KAMA | series | length=30:1 | kama | input |
kc | Keltner Channels | talib KC | high low close | length=20 atr_length=10:1 deviations=2.0 | upper middle lower | price |
kdj | KDJ Stochastic | talib KDJ | high low close | k=9:1 smooth_k=3:1 smooth_k_matype=13:0:13 d=3:1 d_matype=13:0:13 | k d j | none |
kst | Know sure thing | pandas_ta kst | series | signal=9 roc1=10:1 roc2=15:1 roc3=20:1 roc4=30:1 sma1=10:1 sma2=10:1 sma3=10:1 sma4=15:1 | kst signal | none |
kurtosis | Kurtosis | pandas_ta kurtosis | series | length=30:4 | kurtosis | none |
kvo | Klinger volume oscillator | pandas_ta kvo | high low close volume | fast=34 slow=55 signal=13 | kvo signal | volume |
linearreg | Linear Regression | talib LINEARREG | series | length=14 | linearreg | input |
linearreg_angle | Linear Regression Angle | talib LINEARREG_ANGLE | series | length=14 | linearreg_angle | none |
linearreg_intercept | Linear Regression Intercept | talib LINEARREG_INTERCEPT | series | length=14 | linearreg_intercept | input |
linearreg_slope | Linear Regression Slope | talib LINEARREG_SLOPE | series | length=14 | linearreg_slope | input |
linreg | Linear regression | pandas_ta linreg | series | length=14 | linreg | input |
ln | Natural logarithm | talib LN | series |  | ln | none |
log10 | Decimal logarithm | talib LOG10 | series |  | log10 | none |
log_return | Logarithmic return | pandas_ta log_return | series | length=1:1 | log_return | none |
ma | Moving average | talib MA | series | length=30:1 matype=0:0:8 | ma | input |
macdext | MACD of chosen averages | talib MACDEXT | series | fast=12 fast_matype=0:0:8 slow=26 slow_matype=0:0:8 signal=9:1 signal_matype=0:0:8 | macd signal histogram | input |
macdfix | MACD fixed at 12 and 26 | talib MACDFIX | series | signal=9:1 | macd signal histogram | input |
mad | Mean absolute deviation | pandas_ta mad | series | length=30 | mad | input |
mama | MESA Adaptive Moving Average | talib MAMA | series | fast_limit=0.5:0.01:0.99 slow_limit=0.05:0.01:0.99 | mama fama | input |
marketfi | Market Facilitation Index | talib MARKETFI | high low volume |  | marketfi | none |
massi | Mass Index | talib MASSI | high low | fast=9 slow=25 | massi | none |
mavp | Moving average with variable period | talib MAVP | series series | shortest=2:1 longest=30 matype=0:0:8 | mavp | input |
mcgd | McGinley dynamic | pandas_ta mcgd | series | length=10 c=1.0:0.01:1 | mcgd | input |
median | Median | pandas_ta median | series | length=30 | median | input |
medprice | Median Price | talib MEDPRICE | high low |  | medprice | price |
midpoint | MidPoint over period | talib MIDPOINT | series | length=14 | midpoint | input |
midprice | Midpoint Price over period | talib MIDPRICE | high low | length=14 | midprice | price |
minmax | Lowest and highest values over a specified period | talib MINMAX | series | length=30 | min max | input |
minus_di | Minus Directional Indicator | talib MINUS_DI | high low close | length=14:1 | minus_di | none |
minus_dm | Minus Directional Movement | talib MINUS_DM | high low | length=14:1 | minus_dm | price |
nvi | Negative Volume Index | talib NVI | close volume |  | nvi | none | C
pdist | Price distance | pandas_ta pdist | open high low close |  | pdist | price |
percent_return | Return as a fraction | pandas_ta percent_return | series | length=1:1 | percent_return | none |
percentile | Percentile (nearest rank) | talib PERCENTILE | series | length=30 percentile=50.0:0:100 | percentile | input |
percentrank | Percent Rank | talib PERCENTRANK | series | length=100 | percentrank | none |
pgo | Pretty good oscillator | pandas_ta pgo | high low close | length=14 | pgo | none |
plus_di | Plus Directional Indicator | talib PLUS_DI | high low close | length=14:1 | plus_di | none |
plus_dm | Plus Directional Movement | talib PLUS_DM | high low | length=14:1 | plus_dm | price |
psl | Psychological line | pandas_ta psl | series | length=12 | psl | none |
pvi | Positive Volume Index | talib PVI | close volume |  | pvi | none | C
pvo | Percentage Volume Oscillator | talib PVO | volume | fast=12 slow=26 matype=1:0:8 | pvo | none |
pvol | Price times volume | pandas_ta pvol | close volume |  | pvol | none |
pvr | Price volume rank | pandas_ta pvr | close volume |  | pvr | none |
pvt | Price Volume Trend | talib PVT | close volume |  | pvt | none | C
pwma | Pascal weighted moving average | pandas_ta pwma | series | length=10::50 | pwma | input |
qqe | Quantitative qualitative estimation | pandas_ta qqe | series | length=14 smooth=5 factor=4.236 | qqe rsi_average long short | none |
qstick | Qstick | talib QSTICK | open close | length=10:1 | qstick | price |
quantile | Quantile | pandas_ta quantile | series | length=30 q=0.5:0.01:0.99 | quantile | input |
reflex | Reflex | pandas_ta reflex | series | length=20 smooth=20 | reflex | none |
rocp | Rate of change as a fraction | talib ROCP | series | length=10:1 | rocp | none |
rocr | Rate of change as a ratio | talib ROCR | series | length=10:1 | rocr | none |
rocr100 | Rate of change as a ratio times 100 | talib ROCR100 | series | length=10:1 | rocr100 | none |
rsx | Relative strength xtra | pandas_ta rsx | series | length=14 | rsx | none |
rvgi | Relative vigor index | pandas_ta rvgi | open high low close | length=14 swma_length=4 | rvgi signal | none |
rvi | Relative Volatility Index | talib RVI | series | length=14:1 stdev_length=10 | rvi | none |
rvol | Relative Volume | talib RVOL | volume | length=20:1 | rvol | none |
rwi | Random walk index | pandas_ta rwi | high low close | length=14 | high low | none |
sar | Parabolic SAR | talib SAR | high low | acceleration=0.02:0:1 maximum=0.2:0:1 | sar | price | C
sarext | Parabolic SAR - Extended | talib SAREXT | high low | startvalue=0.0 offsetonreverse=0.0 accelerationinitlong=0.02 accelerationlong=0.02 accelerationmaxlong=0.2 accelerationinitshort=0.02 accelerationshort=0.02 accelerationmaxshort=0.2 | sarext | price | C
sin | Sine | talib SIN | series |  | sin | none |
sinh | Hyperbolic sine | talib SINH | series |  | sinh | none |
sinwma | Sine weighted moving average | pandas_ta sinwma | series | length=14 | sinwma | input |
skew | Skewness | pandas_ta skew | series | length=30:3 | skew | none |
smc | Smart money concept | pandas_ta smc | open high low close | abr_length=14 close_length=50 vol_length=20 percent=5 vol_ratio=1.5 | high_volatility bottom_flag bottom_imbalance bottom_percent top_flag top_imbalance top_percent | none none price none none price none |
smi | Stochastic Momentum Index | talib SMI | high low close | length=13 fast=2 slow=25 signal=9 | smi signal | none |
smma | Smoothed moving average | pandas_ta smma | series | length=7 | smma | input |
sqrt | Square root | talib SQRT | series |  | sqrt | none |
squeeze | Squeeze | pandas_ta squeeze | high low close | bb_length=20 bb_std=2.0 kc_length=20 kc_scalar=1.5 mom_length=12 mom_smooth=6 | squeeze on off none | price none none none |
squeeze_pro | Squeeze pro | pandas_ta squeeze_pro | high low close | bb_length=20 bb_std=2.0 kc_length=20 kc_scalar_narrow=1.0 kc_scalar_normal=1.5 kc_scalar_wide=2.0 mom_length=12 mom_smooth=6 | squeeze on_wide on_normal on_narrow off none | price none none none none none |
ssf | Super smoother filter, two poles | pandas_ta ssf | series | length=20 | ssf | input |
ssf3 | Super smoother filter, three poles | pandas_ta ssf3 | series | length=20 | ssf3 | input |
stc | Schaff trend cycle | pandas_ta stc | series | tc_length=10 fast=12 slow=26 factor=0.5:0.01:1 | stc macd stoch | none input none |
stddev | Standard Deviation | talib STDDEV | series | length=5 deviations=1.0 | stddev | input |
stochf | Stochastic Fast | talib STOCHF | high low close | k=5:1 d=3:1 d_matype=0:0:8 | k d | none |
swma | Symmetric weighted moving average | pandas_ta swma | series | length=10 | swma | input |
t3 | Triple Exponential Moving Average (T3) | talib T3 | series | length=5:1 factor=0.7:0:1 | t3 | input |
tan | Tangent | talib TAN | series |  | tan | none |
tanh | Hyperbolic tangent | talib TANH | series |  | tanh | none |
thermo | Elder's thermometer | pandas_ta thermo | high low | length=20 long=2.0 short=0.5 | thermo average long short | price price none none |
tmo | True momentum oscillator | pandas_ta tmo | open close | tmo_length=14 calc_length=5 smooth_length=3 | tmo signal momentum momentum_signal | none |
trange | True Range | talib TRANGE | high low close |  | trange | price |
trendflex | Trendflex | pandas_ta trendflex | series | length=20 smooth=20 | trendflex | none |
trima | Triangular Moving Average | talib TRIMA | series | length=30:1 | trima | input |
tsf | Time Series Forecast | talib TSF | series | length=14 | tsf | input |
tsi | True Strength Index | talib TSI | series | first=25 second=13 | tsi | none |
tsv | Time segmented value | pandas_ta tsv | close volume | length=18 signal=10 | tsv signal ratio | none |
ttm_trend | TTM trend | pandas_ta ttm_trend | high low close | length=6 | ttm_trend | none |
typprice | Typical Price | talib TYPPRICE | high low close |  | typprice | price |
ui | Ulcer index | pandas_ta ui | series | length=14 | ui | none |
ultosc | Ultimate Oscillator | talib ULTOSC | high low close | length1=7:1 length2=14:1 length3=28:1 | ultosc | none |
uo | Ultimate oscillator, weighted | pandas_ta uo | high low close | fast=7 medium=14 slow=28 fast_w=4.0 medium_w=2.0 slow_w=1.0 | uo | none |
var | Variance | talib VAR | series | length=5:1 deviations=1.0 | var | none |
variance | Variance (ddof 1) | pandas_ta variance | series | length=30 | variance | none |
vhf | Vertical Horizontal Filter | talib VHF | series | length=28 | vhf | none |
vidya | Variable index dynamic average | pandas_ta vidya | series | length=14 | vidya | input |
vortex | Vortex Indicator | talib VORTEX | high low close | length=14:1 | plus minus | none |
vwma | Volume Weighted Moving Average | talib VWMA | series volume | length=30:1 | vwma | input |
wad | Williams' Accumulation/Distribution | talib WAD | high low close |  | wad | price | C
wclprice | Weighted Close Price | talib WCLPRICE | high low close |  | wclprice | price |
wcp | Weighted closing price | pandas_ta wcp | high low close |  | wcp | price |
zlema | Zero-Lag Exponential Moving Average | talib ZLEMA | series | length=30:1 | zlema | input |
zlma | Zero lag moving average | pandas_ta zlma | series | length=10 | zlma | input |
"""
